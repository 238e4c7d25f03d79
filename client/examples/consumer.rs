//! Consumes a topic until enter is pressed:
//! `cargo run -p ringmq-client --example consumer -- 127.0.0.1:9876 Orders example_group`.

use std::error::Error;
use std::sync::Arc;

use ringmq_client::Client;
use ringmq_client::config::{ClientConfig, ConsumeFrom, ConsumerConfig};
use ringmq_client::consumer::ConsumeStatus;
use ringmq_client::received::ReceivedMessage;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let servers = arguments.next().unwrap_or_else(|| "127.0.0.1:9876".into());
    let topic = arguments.next().unwrap_or_else(|| "Orders".into());
    let group = arguments.next().unwrap_or_else(|| "example_group".into());
    let client = Client::start_blocking(ClientConfig::new(&servers))?;
    let listener = |messages: &[Arc<ReceivedMessage>]| {
        for message in messages {
            let text = String::from_utf8_lossy(&message.body);
            let (queue, offset) = (&message.queue, message.queue_offset);
            println!("{queue} offset {offset}: {text} {:?}", message.tag());
        }
        ConsumeStatus::Success
    };
    futures_lite::future::block_on(async {
        let config =
            ConsumerConfig { consume_from: ConsumeFrom::FirstOffset, ..ConsumerConfig::new(group) };
        let consumer = client.push_consumer(config, listener).await?;
        consumer.subscribe(&topic, "*").await
    })?;
    println!("consuming {topic}; press enter to stop");
    std::io::stdin().read_line(&mut String::new())?;
    client.shutdown_blocking();
    Ok(())
}
