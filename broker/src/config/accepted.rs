//! Keys of Apache's that a file may hold although no row here has them.
//!
//! A configuration that worked with Apache's broker must load. What such a key asks for is either a
//! matter of Apache's own machinery (thread pools, memory maps, the Java network library, RocksDB),
//! or a feature that this version does not have. The second kind is worth a warning, the first is
//! not. A third kind promises what would be missed: such a switch is refused when on.

use ringmq_settings::{Class, tls};

/// The class of a key of Apache's; none for keys that Apache does not know either.
pub fn class(key: &str) -> Option<Class> {
    if NOTHING_TO_CONFIGURE.binary_search(&key).is_ok() {
        return Some(Class::NothingToConfigure);
    }
    if PROMISES.contains(&key) {
        return Some(Class::Promise(&["false"]));
    }
    if let Some(class) = tls::class(key) {
        return Some(class);
    }
    FEATURE_MISSING.binary_search(&key).is_ok().then_some(Class::FeatureMissing)
}

/// All of these keys.
pub fn all() -> impl Iterator<Item = &'static str> {
    NOTHING_TO_CONFIGURE.iter().chain(PROMISES).chain(FEATURE_MISSING).copied().chain(tls::all())
}

/// Thread pools, memory maps, locks, buffers, RocksDB, and the clients inside Apache's broker.
/// Sorted.
#[rustfmt::skip]
const NOTHING_TO_CONFIGURE: &[&str] = &[
    "accountStatsEnable", "accountStatsPrintZeroValues", "ackMessageThreadPoolNums",
    "ackThreadPoolQueueCapacity", "aclCacheMaxNum", "adminBrokerThreadPoolNums",
    "adminBrokerThreadPoolQueueCapacity", "appendAckAsync", "appendCkAsync",
    "appendTopicForTimerDeleteKey", "asyncSendEnable", "autoDeleteUnusedStats",
    "autoMessageVersionOnTopicLen", "batchDispatchRequestThreadPoolNums",
    "bitMapLengthConsumeQueueExt", "bottomMostCompressionTypeForConsumeQueueStore",
    "brokerConfigPath", "brokerHeartbeatInterval", "brokerNotActiveTimeoutMillis",
    "channelNotActiveInterval", "checkCRCOnRecover", "checkCommitLogOffsetOnRecover",
    "checkSyncStateSetPeriod", "cleanOfflineBrokerInterval", "cleanResourceInterval",
    "cleanRocksDBDirtyCQIntervalMin", "cleanSwapedMapInterval", "clearRetryTopicWhenDeleteTopic",
    "clientAsyncSemaphoreValue", "clientCallbackExecutorThreads", "clientChannelMaxIdleTimeSeconds",
    "clientCloseSocketIfTimeout", "clientManageThreadPoolNums",
    "clientManagerThreadPoolQueueCapacity", "clientOnewaySemaphoreValue",
    "clientPooledByteBufAllocatorEnable", "clientSocketRcvBufSize", "clientSocketSndBufSize",
    "clientWorkerThreads", "clusterName", "combineAssignOffsetCQType", "combineCQEnableCheckSelf",
    "combineCQLoadingCQTypes", "combineCQMaxExtraSearchCommitLogFiles", "combineCQPreferCQType",
    "combineCQUseRocksdbForLmq", "commercialBaseCount", "commercialSizePerMsg",
    "commitCommitLogLeastPages", "commitCommitLogThoroughInterval", "commitIntervalCommitLog",
    "commitLogForceSwapMapInterval", "commitLogRecoverMaxNum", "commitLogSwapMapInterval",
    "commitLogSwapMapReserveFileNum", "compatibleWithOldNameSrv", "compressedRegister",
    "configBlackList", "configManagerVersion", "configName", "connectTimeoutMillis",
    "consumerManageThreadPoolNums", "consumerManagerThreadPoolQueueCapacity",
    "consumerOffsetUpdateVersionStep", "correctLogicMinOffsetForceInterval",
    "correctLogicMinOffsetSleepInterval", "dataReadAheadEnable", "debugLockEnable",
    "delayOffsetUpdateVersionStep", "deleteCommitLogFilesInterval",
    "deleteConsumeQueueFilesInterval", "deleteWhen", "destroyMapedFileIntervalForcibly",
    "disableCallbackExecutor", "disableNettyWorkerGroup", "diskFallRecorded",
    "diskMaxUsedSpaceRatio", "dispatchCqCacheNum", "dispatchCqThreads", "dispatchFromSenderThread",
    "enableAcceleratedRecovery", "enableAsyncReput", "enableBatchPush",
    "enableBuildConsumeQueueConcurrently", "enableCleanExpiredOffset", "enableConnectionMetrics",
    "enableDetailStat", "enableFastChannelEventProcess", "enableLagAndDlqMetrics",
    "enableLogConsumeQueueRepeatedlyBuildWhenRecover", "enableMessageStoreMetrics",
    "enableMixedMessageType", "enableNetWorkFlowControl",
    "enableReconnectForGoAway", "enableRegisterProducer", "enableRemotingMetrics",
    "enableRequestMetrics", "enableRocksDBLog", "enableRunningFlagsInFlush",
    "enableScheduleMessageStats", "enableSingleTopicRegister", "enableSplitMetadata",
    "enableSplitRegistration", "enableStatsMetrics", "enableTransactionMetrics",
    "endTransactionPoolQueueCapacity", "endTransactionThreadPoolNums", "estimateAccumulation",
    "expectConsumerNumUseFilter", "fastFailIfNoBufferInStorePool", "filterDataCleanTimeSpan",
    "flushCommitLogLeastPages", "flushCommitLogThoroughInterval", "flushCommitLogTimed",
    "flushConsumeQueueLeastPages", "flushConsumeQueueThoroughInterval",
    "flushConsumerOffsetHistoryInterval", "flushIntervalConsumeQueue",
    "flushLeastPagesWhenWarmMapedFile", "forwardTimeout", "heartbeatThreadPoolNums",
    "heartbeatThreadPoolQueueCapacity", "highSpeedMode", "inBrokerContainer", "indexFileReadEnable",
    "indexFileWriteEnable", "indexRocksDBEnable", "isolateLogEnable",
    "iteratorWhenUseRocksdbConsumeQueue", "litePullMessageThreadPoolNums",
    "litePullThreadPoolQueueCapacity", "loadBalancePollNameServerInterval",
    "loadBalanceProcessorThreadPoolNums", "loadBalanceThreadPoolQueueCapacity",
    "logicQueueForceSwapMapInterval", "logicQueueSwapMapInterval",
    "logicQueueSwapMapReserveFileNum", "logicalDiskSpaceCleanForciblyThreshold",
    "mappedFileSizeConsumeQueue", "mappedFileSizeConsumeQueueExt", "mappedFileSwapEnable",
    "mapperFileSizeBatchConsumeQueue", "maxAsyncPutMessageRequests", "maxBatchDeleteFilesNum",
    "maxChecksumRange", "maxConsumeQueueScan", "maxErrorRateOfBloomFilter", "maxHashSlotNum",
    "maxIndexNum", "maxOffsetMapSize", "maxReconnectIntervalTimeSeconds",
    "maxRecoveryCommitlogFiles", "maxRocksDBIndexQueryDays", "maxSlaveResendLength",
    "maxStatsIdleTimeInMinutes", "maxTopicLength", "memTableFlushIntervalMs", "messageIndexEnable",
    "messageIndexSafe", "metricsOtelCardinalityLimit", "osPageCacheBusyTimeOutMills",
    "persistConsumerOffsetIncrementally", "popConsumerFSServiceInit", "printChannelGroups",
    "printChannelGroupsMinNum", "processReplyMessageThreadPoolNums", "pullBatchMaxMessageCount",
    "pullMessageThreadPoolNums", "pullThreadPoolQueueCapacity", "putConsumeQueueDataByFileChannel",
    "putMessageFutureThreadPoolNums", "putMessageTimeout", "putMsgIndexHightWater",
    "putThreadPoolQueueCapacity", "queryMessageThreadPoolNums", "queryThreadPoolQueueCapacity",
    "readUnCommitted", "realTimeNotifyConsumerChange", "realTimePersistRocksDBConfig",
    "recheckReputOffsetFromCq", "recoverConcurrently", "recoverThreadPoolNums",
    "redeleteHangedFileInterval", "replicasPerDiskPartition", "replyThreadPoolQueueCapacity",
    "rocketmqHome", "rocksdbCQDoubleWriteEnable", "rocksdbCompressionType",
    "rocksdbFlushWalFrequency", "rocksdbWalFileRollingThreshold", "sampleCountThreshold",
    "sampleSteps", "scanAvailableNameSrv", "searchBcqByCacheEnable", "sendHeartbeatTimeoutMillis",
    "sendMessageThreadPoolNums", "sendThreadPoolQueueCapacity", "serverAsyncSemaphoreValue",
    "serverCallbackExecutorThreads", "serverNettyWorkerGroupEnable", "serverOnewaySemaphoreValue",
    "serverPooledByteBufAllocatorEnable", "serverSelectorThreads", "serverSocketBacklog",
    "serverSocketRcvBufSize", "serverSocketSndBufSize", "serverWorkerThreads",
    "sharedByteBufferNum", "shutdownWaitTimeSeconds", "skipWhenCKRePutReachMaxTimes",
    "spinLockCollisionRetreatOptimalDegree", "splitMetadataSize", "splitRegistrationSize",
    "statRocksDBCQIntervalSec", "storePathBrokerIdentity", "storePathCommitLog",
    "storePathDLedgerCommitLog", "storePathEpochFile", "subscriptionExpiredTimeout",
    "syncBrokerMemberGroupPeriod", "syncBrokerMetadataPeriod", "syncControllerMetadataPeriod",
    "syncMasterFlushOffsetWhenStartup", "timerGetMessageThreadNum", "timerPutMessageThreadNum",
    "timerRocksDBEnable", "timerRocksDBPrecisionMs", "timerRocksDBRollIntervalHours",
    "timerRocksDBRollMaxTps", "timerRocksDBRollRangeHours", "timerRocksDBStopScan",
    "timerRocksDBTimeExpiredMaxTps", "topicQueueLockNum", "transRocksDBEnable", "transferMsgByHeap",
    "transientStorePoolSize", "travelCqFileNumWhenGetMessage", "updateNameServerAddrPeriod",
    "useABSLock", "useEpollNativeSelector", "usePIDColdCtrStrategy",
    "useReentrantLockWhenPutMessage", "useSeparateStorePathForRocksdbCQ",
    "useServerSideResetOffset", "useSingleRocksDBForAllConfigs", "wakeCommitWhenPutMessage",
    "wakeFlushWhenPutMessage", "warmMapedFileEnable", "writeBufferHighWaterMark",
    "writeBufferLowWaterMark", "writeWithoutMmap",
];

/// Switches that promise protection or another way of running; those of TLS are `tls`'s.
const PROMISES: &[&str] = &[
    "aclEnable",
    "authenticationEnabled",
    "authorizationEnabled",
    "enableControllerMode",
    "enableDLegerCommitLog",
    "enableSlaveActingMaster",
];

/// Features of Apache 5.5.0 that later versions may bring. Sorted.
#[rustfmt::skip]
const FEATURE_MISSING: &[&str] = &[
    "accessMessageInMemoryHotRatio", "aclCacheExpiredSecond", "aclCacheRefreshSecond",
    "allAckInSyncStateSet", "allowRecallWhenBrokerNotWriteable", "asyncLearner", "authConfigPath",
    "authenticationMetadataProvider", "authenticationProvider",
    "authenticationStrategy", "authenticationWhitelist",
    "authorizationMetadataProvider", "authorizationProvider", "authorizationStrategy",
    "authorizationWhitelist", "broadcastOffsetExpireMaxSecond", "broadcastOffsetExpireSecond",
    "brokerElectionPriority", "brokerFastFailureEnable", "cgColdReadThreshold",
    "cleanFileForciblyEnable", "coldCtrStrategyEnable", "coldDataFlowControlEnable",
    "coldDataScanEnable", "compactionCqMappedFileSize", "compactionMappedFileSize",
    "compactionScheduleInternal", "compactionThreadNum", "consumerFallbehindThreshold",
    "controllerAddr", "controllerHeartBeatTimeoutMills", "dLegerGroup", "dLegerPeers",
    "dLegerSelfId", "defaultMessageRequestMode", "defaultPopShareQueueNum", "deleteFileBatchMax",
    "disableConsumeIfConsumerReadSlowly", "disappearTimeAfterStart", "diskSpaceWarningLevelRatio",
    "duplicationEnable", "enableAutoInSyncReplicas", "enableBroadcastOffsetStore",
    "enableCalcFilterBitMap", "enableCompaction", "enableConsumeQueueExt",
    "enableLiteEventMode", "enableLitePopLog", "enableLmq",
    "enableLmqQuota", "enableLmqStats", "enableMultiDispatch",
    "enableNotifyAfterPopOrderLockRelease", "enableNotifyBeforePopCalculateLag",
    "enablePopBatchAck", "enablePopBufferMerge", "enablePopLog", "enablePopMessageThreshold",
    "enablePopMetrics", "enablePropertyFilter", "enableRemoteEscape", "enableRetryTopicV2",
    "enableScheduleAsyncDeliver", "enableShutdownGracefully", "enableSkipLongAwaitingAck",
    "enabledAppendPropCRC", "fetchControllerAddrByDnsLookup",
    "fetchNameSrvAddrByDnsLookup", "fetchNamesrvAddrByAddressServer", "fetchNamesrvAddrInterval",
    "filterSupportRetry", "flushDelayOffsetInterval", "forceVerifyPropCRC",
    "globalColdReadThreshold", "haFlowControlEnable", "haHousekeepingInterval", "haListenPort",
    "haMasterAddress", "haMaxGapNotInSync", "haMaxTimeSlaveNotCatchup", "haSendHeartbeatInterval",
    "haTransferBatchSize", "inSyncReplicas", "initAuthenticationUser",
    "initPopOffsetByCheckMsgInMem", "innerClientAuthenticationCredentials",
    "liteEventCheckInterval", "liteEventFullDispatchDelayTime",
    "liteEventFullDispatchDelayTimeForWildcardGroup", "liteLagCountMetricsEnable",
    "liteLagLatencyCollectEnable", "liteLagLatencyMetricsEnable", "liteLagLatencyTopK",
    "liteSubscriptionCheckInterval", "liteSubscriptionCheckTimeoutMills", "liteTtlCheckInterval",
    "lockInStrictMode", "mappedFileSizeTimerLog", "maxClientEventCount", "maxFilterMessageSize",
    "maxHaTransferByteInSecond", "maxLiteSubscriptionCount", "maxLmqConsumeQueueNum",
    "maxMessageFilterNumForNotification", "maxMsgsNumBatch", "maxPopPollingSize",
    "messageDelayLevel", "messageStorePlugIn", "metricGrpcExporterIntervalInMills",
    "metricGrpcExporterTimeOutInMills", "metricLoggingExporterIntervalInMills",
    "metricsExportBatchMaxDataPoints", "metricsExporterType", "metricsGrpcExporterHeader",
    "metricsGrpcExporterTarget", "metricsInDelta", "metricsLabel", "metricsPromExporterHost",
    "metricsPromExporterPort", "migrateAuthFromV1Enabled", "minInSyncReplicas", "minLiteTTl",
    "offsetCheckInSlave", "popCkMaxBufferSize", "popCkOffsetMaxQueueSize", "popCkStayBufferTime",
    "popCkStayBufferTimeOut", "popConsumerKVServiceEnable", "popConsumerKVServiceInit",
    "popConsumerKVServiceLog", "popFromRetryProbability", "popFromRetryProbabilityForPriority",
    "popInflightMessageThreshold", "popLongPollingForceNotifyInterval",
    "popPollingMapExpireTimeSeconds", "popPollingMapSize", "popPollingSize",
    "popResponseReturnActualRetryTopic", "popReviveConcurrency", "popReviveMaxAttemptTimes",
    "popReviveMaxReturnSizePerRead", "popReviveSkipIfGroupAbsent", "preferredLeaderId",
    "priorityOrderAsc", "readOnlyCommitLogStorePaths", "recallMessageEnable",
    "rejectPullConsumerEnable", "rejectTransactionMessage", "retrieveMessageFromPopRetryTopicV1",
    "reviveAckWaitMs", "reviveInterval", "reviveMaxSlow", "reviveQueueNum", "reviveScanTime",
    "scheduleAsyncDeliverMaxPendingLimit", "scheduleAsyncDeliverMaxResendNum2Blocked",
    "serverLoadBalancerEnable", "skipPreOnline", "slaveReadEnable", "slaveTimeout",
    "socksProxyConfig", "statefulAuthenticationCacheExpiredSecond",
    "statefulAuthenticationCacheMaxNum", "statefulAuthorizationCacheExpiredSecond",
    "statefulAuthorizationCacheMaxNum", "storeReplyMessageEnable", "storeType", "syncFlushTimeout",
    "syncFromLastFile", "timerColdDataCheckIntervalMs", "timerCongestNumEachSlot",
    "timerEnableCheckMetrics", "timerEnableRetryUntilSuccess", "timerFlushIntervalMs",
    "timerInterceptDelayLevel", "timerMaxDelaySec", "timerMetricSmallThreshold", "timerPrecisionMs",
    "timerProgressLogIntervalMs", "timerRecallToTimeWheelEnable", "timerRecallToTimelineEnable",
    "timerReputServiceCorePoolSize", "timerReputServiceMaxPoolSize",
    "timerReputServiceQueueCapacity", "timerRollWindowSlot", "timerSkipUnknownError",
    "timerStopEnqueue", "timerWheelEnable", "timerWheelSnapshotFlush",
    "timerWheelSnapshotIntervalMs", "totalReplicas", "transWriteOriginTransHalfEnable",
    "transactionCheckInterval", "transactionCheckMax", "transactionCheckRocksdbCoreThreads",
    "transactionCheckRocksdbMaxThreads", "transactionCheckRocksdbQueueCapacity",
    "transactionMetricFlushInterval", "transactionOpBatchInterval", "transactionOpMsgMaxSize",
    "transactionTimeOut", "useMessageFilterForNotification", "useSeparateRetryQueue",
    "useStaticSubscription", "userCacheExpiredSecond", "userCacheMaxNum",
    "userCacheRefreshSecond", "waitTimeMillsInAckQueue", "waitTimeMillsInAdminBrokerQueue",
    "waitTimeMillsInHeartbeatQueue", "waitTimeMillsInLitePullQueue", "waitTimeMillsInPullQueue",
    "waitTimeMillsInSendQueue", "waitTimeMillsInTransactionQueue",
];
