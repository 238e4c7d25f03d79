//! Sends messages: `cargo run -p ringmq-client --example producer -- 127.0.0.1:9876 Orders 10`.

use std::error::Error;

use ringmq_client::Client;
use ringmq_client::config::{ClientConfig, ProducerConfig};
use ringmq_client::message::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let servers = arguments.next().unwrap_or_else(|| "127.0.0.1:9876".into());
    let topic = arguments.next().unwrap_or_else(|| "Orders".into());
    let count: u32 = arguments.next().unwrap_or_else(|| "10".into()).parse()?;
    let client = Client::start_blocking(ClientConfig::new(&servers))?;
    futures_lite::future::block_on(async {
        let producer = client.producer(ProducerConfig::new("example_producer")).await?;
        for number in 0..count {
            let message = Message::new(&topic, format!("message {number}"))
                .tag(if number % 2 == 0 { "even" } else { "odd" })
                .keys(format!("key{number}"));
            let result = producer.send(message).await?;
            let (queue, offset) = (&result.queue, result.queue_offset);
            println!("{:?} {} at {queue} offset {offset}", result.status, result.message_id);
        }
        let batch = (0..3).map(|n| Message::new(&topic, format!("batch {n}"))).collect();
        println!("batch: {:?}", producer.send_batch(batch).await?);
        producer.send_oneway(Message::new(&topic, "one-way")).await?;
        client.shutdown().await;
        Ok(())
    })
}
