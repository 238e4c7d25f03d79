//! The round trip to a server that answers every send at once and stores nothing.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringmq_protocol::codes::response;
use ringmq_protocol::headers::send::SendResponse;
use ringmq_protocol::{ResponseHead, write_response};
use ringmq_runtime::net::{Listener, Reuse, Stream};
use ringmq_runtime::{remote, task};

use crate::driver::lane::Lane;
use crate::driver::{Load, Timing};
use crate::error::BenchError;
use crate::record::archive::Archive;
use crate::record::latencies::Latencies;
use crate::target::caller;
use crate::wire::Assembler;
use crate::workload::send::{SendPlan, SendWork};

/// What every send is answered with.
pub const ANSWER: SendResponse<'_> = SendResponse {
    msg_id: "7F00000100002A9F0000000000000000",
    queue_id: 0,
    queue_offset: 0,
    transaction_id: None,
    batch_uniq_id: None,
    recall_handle: None,
    msg_region: Some("DefaultRegion"),
    trace_on: Some("true"),
};

/// Round trips, one in flight, to a server on another thread.
///
/// # Errors
/// Loopback connections fail.
pub async fn round_trips(plan: Rc<SendPlan>, measured: Duration) -> Result<Latencies, BenchError> {
    let failed = |error: &dyn std::fmt::Display| BenchError::protocol("null server", error);
    let server = remote::spawn_executor("null server").map_err(|error| failed(&error))?;
    let bound = server
        .run(|| async {
            let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), Reuse::No)?;
            let addr = listener.local_addr();
            task::spawn("null server", serve(listener)).detach();
            addr
        })
        .await
        .map_err(|error| failed(&error))?;
    let addr = bound.map_err(BenchError::NoPorts)?;
    let (read, write) = caller::connect(&addr.to_string()).await?.split();
    let load = Load::new(None);
    load.add_lane(Lane::new(SendWork::new(0, plan, None, 1), write, 1), read);
    let timing = Timing { warm_up: Duration::ZERO, duration: measured };
    let archive = load.run(timing, Archive::default(), |_, _| ()).await;
    Ok(archive.total.service)
}

async fn serve(listener: Listener) {
    while let Ok((stream, _)) = listener.accept().await {
        task::spawn("null connection", answer(stream)).detach();
    }
}

async fn answer(stream: Stream) {
    let (mut read, mut write) = stream.split();
    let mut assembler = Assembler::default();
    let mut out = Vec::new();
    loop {
        let open = read.read_with(|bytes| {
            let fed = assembler.feed(bytes, |command| {
                let head = ResponseHead {
                    serialize: command.serialize,
                    opaque: command.opaque,
                    code: response::SUCCESS,
                    remark: None,
                };
                write_response(&mut out, head, &ANSWER, &[]);
            });
            fed.is_ok() && !bytes.is_empty()
        });
        if !matches!(open.await, Ok(true)) {
            return;
        }
        if write.write_all(&mut [IoSlice::new(&out)]).await.is_err() {
            return;
        }
        out.clear();
    }
}
