//! Brokers: which there are, how they are, their settings and permissions.

use std::collections::BTreeMap;

use clap::Args;
use ringmq_client::admin::Admin;
use serde_json::{Value, json};

use crate::report::Report;
use crate::target::{Failure, Which};

type Facts = BTreeMap<String, String>;

/// What to look at where a name server knows nobody.
const NO_BROKER: &str = "no broker is registered there: each does within seconds of its start, \
                         at the name servers that its namesrvAddr lists";

#[derive(Debug, Args)]
pub struct ClusterList {
    /// Show totals instead of rates.
    #[arg(short = 'm', long = "moreStats")]
    more_stats: bool,
    /// Only this cluster.
    #[arg(short = 'c', long = "clusterName")]
    cluster_name: Option<String>,
}

impl ClusterList {
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        let mut rows = Vec::new();
        for broker in admin.brokers(self.cluster_name.as_deref()).await? {
            // A broker that does not answer is still listed.
            let facts = admin.broker_runtime(&broker.address).await.unwrap_or_default();
            let mut row = vec![broker.cluster, broker.name];
            if self.more_stats {
                row.extend(totals(&facts));
            } else {
                row.extend([broker.id.to_string(), broker.address]);
                row.extend(rates(&facts));
            }
            rows.push(row);
        }
        Ok(self.report(rows))
    }

    fn report(&self, rows: Vec<Vec<String>>) -> Report {
        let headings: &[&str] = if self.more_stats {
            &[
                "#Cluster Name",
                "#Broker Name",
                "#InTotalYest",
                "#OutTotalYest",
                "#InTotalToday",
                "#OutTotalToday",
            ]
        } else {
            &[
                "#Cluster Name",
                "#Broker Name",
                "#BID",
                "#Addr",
                "#Version",
                "#InTPS(LOAD)",
                "#OutTPS(LOAD)",
                "#SPACE",
                "#ACTIVATED",
            ]
        };
        let is_empty = rows.is_empty();
        let report = Report::table(headings, rows);
        if is_empty { report.with_hint(NO_BROKER) } else { report }
    }
}

fn fact<'a>(facts: &'a Facts, key: &str) -> &'a str {
    facts.get(key).map_or("", String::as_str)
}

fn rates(facts: &Facts) -> [String; 5] {
    let first = |key: &str| {
        let rate = fact(facts, key).split(' ').next().and_then(|text| text.parse::<f64>().ok());
        format!("{:.2}", rate.unwrap_or(0.0))
    };
    let load = |pool: &str| fact(facts, &format!("{pool}ThreadPoolQueueSize")).to_owned();
    let out = if facts.contains_key("getTransferredTps") {
        "getTransferredTps"
    } else {
        "getTransferedTps"
    };
    [
        fact(facts, "brokerVersionDesc").to_owned(),
        format!("{}({})", first("putTps"), load("send")),
        format!("{}({})", first(out), load("pull")),
        first("commitLogDiskRatio"),
        fact(facts, "brokerActive").to_owned(),
    ]
}

fn totals(facts: &Facts) -> [String; 4] {
    let count = |key: &str| fact(facts, key).parse::<i64>().unwrap_or(0);
    let between = |from: &str, to: &str| (count(to) - count(from)).to_string();
    [
        between("msgPutTotalYesterdayMorning", "msgPutTotalTodayMorning"),
        between("msgGetTotalYesterdayMorning", "msgGetTotalTodayMorning"),
        between("msgPutTotalTodayMorning", "msgPutTotalTodayNow"),
        between("msgGetTotalTodayMorning", "msgGetTotalTodayNow"),
    ]
}

#[derive(Debug, Args)]
pub struct BrokerStatus {
    #[command(flatten)]
    which: Which,
}

impl BrokerStatus {
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        let (mut lines, mut all) = (Vec::new(), serde_json::Map::new());
        for address in admin.addresses(&self.which.target()).await? {
            let facts = admin.broker_runtime(&address).await?;
            let is_one = self.which.broker_addr.is_some();
            let prefix = if is_one { String::new() } else { format!("{address:<24} ") };
            lines.extend(facts.iter().map(|(key, value)| format!("{prefix}{key:<32}: {value}")));
            all.insert(address, json!(facts));
        }
        Ok(Report::lines(lines, Value::Object(all)))
    }
}

#[derive(Debug, Args)]
pub struct SendStages {
    #[command(flatten)]
    which: Which,
}

impl SendStages {
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        let (mut rows, mut silent, mut all) = (Vec::new(), Vec::new(), serde_json::Map::new());
        for address in admin.addresses(&self.which.target()).await? {
            let stages = admin.send_stages(&address).await?;
            all.insert(address.clone(), json!(stages));
            if stages.is_empty() {
                silent.push(address);
                continue;
            }
            rows.extend(stages.into_iter().map(|stage| {
                let us = [stage.mean_us, stage.p50_us, stage.p99_us, stage.p999_us, stage.max_us];
                let shard = stage.shard.map_or("all".to_owned(), |shard| shard.to_string());
                let row =
                    [address.clone(), shard, stage.stage, stage.count.to_string()].into_iter();
                row.chain(us.map(|us| format!("{us:.1}"))).collect()
            }));
        }
        let headings = [
            "#Addr",
            "#Shard",
            "#Stage",
            "#Count",
            "#Mean(us)",
            "#P50(us)",
            "#P99(us)",
            "#P999(us)",
            "#Max(us)",
        ];
        let report = Report::table(&headings, rows).with_json(Value::Object(all));
        Ok(silent.iter().fold(report, |report, address| {
            report.then(format!(
                "{address} does not time them; a RingMQ broker begins with: \
                 mqadmin updateBrokerConfig -b {address} -k sendStageTracing -v true"
            ))
        }))
    }
}

#[derive(Debug, Args)]
pub struct GetBrokerConfig {
    #[command(flatten)]
    which: Which,
}

impl GetBrokerConfig {
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        let (mut lines, mut all) = (Vec::new(), serde_json::Map::new());
        for address in admin.addresses(&self.which.target()).await? {
            let settings = admin.broker_config(&address).await?;
            lines.push(format!("============{address}============"));
            lines.extend(settings.iter().map(|(key, value)| format!("{key:<50}=  {value}")));
            all.insert(address, json!(settings));
        }
        Ok(Report::lines(lines, Value::Object(all)))
    }
}

#[derive(Debug, Args)]
pub struct UpdateBrokerConfig {
    #[command(flatten)]
    which: Which,
    /// The key, as getBrokerConfig shows it.
    #[arg(short = 'k', long = "key")]
    key: String,
    /// Its new value.
    #[arg(short = 'v', long = "value", allow_hyphen_values = true)]
    value: String,
}

impl UpdateBrokerConfig {
    pub async fn run(&self, admin: &Admin) -> Result<Report, Failure> {
        let (mut lines, mut done, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        let target = self.which.target();
        for broker in admin.update_broker_config(&target, &self.key, &self.value).await? {
            let (address, note) = (broker.address, broker.note);
            // Brokers say yes to keys that they do not know, and pass over them.
            let settings = match admin.broker_config(&address).await {
                Ok(settings) => settings,
                Err(error) => {
                    failures.push(format!(
                        "{address} said yes, and does not tell its settings: {error}"
                    ));
                    continue;
                }
            };
            if !settings.contains_key(&self.key) {
                let why = note.unwrap_or_else(|| format!("it has no key {}", self.key));
                failures.push(format!("{address} has changed nothing: {why}"));
                continue;
            }
            lines.push(format!("update broker config success, {address}"));
            lines.extend(note);
            done.push(address);
        }
        Ok(Report::lines(lines, json!({ "updated": done })).with_failures(failures))
    }
}

#[derive(Debug, Args)]
pub struct WritePerm {
    /// Name of the broker.
    #[arg(short = 'b', long = "brokerName")]
    broker_name: String,
}

impl WritePerm {
    pub async fn wipe(&self, admin: &Admin) -> Result<Report, Failure> {
        Ok(self.report("wipe", admin.wipe_write_permission(&self.broker_name).await?))
    }

    pub async fn add(&self, admin: &Admin) -> Result<Report, Failure> {
        Ok(self.report("add", admin.add_write_permission(&self.broker_name).await?))
    }

    fn report(&self, verb: &str, counts: Vec<(String, i32)>) -> Report {
        let (mut lines, mut all) = (Vec::new(), serde_json::Map::new());
        for (server, count) in counts {
            let name = &self.broker_name;
            lines.push(format!(
                "{verb} write perm of broker[{name}] in name server[{server}] OK, {count}"
            ));
            all.insert(server, count.into());
        }
        Report::lines(lines, Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_without_any_broker_says_what_to_look_at_beside_the_table() {
        for more_stats in [false, true] {
            let list = ClusterList { more_stats, cluster_name: None };
            let (none, one) = (list.report(Vec::new()), list.report(vec![vec!["c".into()]]));
            assert!(none.hint().is_some_and(|hint| hint.contains("namesrvAddr")), "{none:?}");
            assert!(none.text().starts_with("#Cluster Name"), "{none:?}");
            assert!(!none.text().contains("namesrvAddr"), "the table is for scripts too: {none:?}");
            assert_eq!((none.json_text().as_str(), one.hint()), ("[]\n", None));
        }
    }
}
