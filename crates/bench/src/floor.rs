//! The floor: one write(2) of the same bytes to each socket, and nothing else.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use ambo_wire::websocket;
use anyhow::Result;

use crate::process::cpu;
use crate::publish::{Round, SETTLE, message};
use crate::target::Order;

/// Accepts sockets and writes to them; there is no WebSocket handshake to pay for.
pub fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    let (sender, accepted) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if sender.send(stream).is_err() {
                return;
            }
        }
    });
    let mut sockets = Vec::new();
    while let Some(order) = Order::next()? {
        for stream in accepted.try_iter() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            sockets.push(stream);
        }
        let micros = match order {
            Order::TellCpu => cpu()?.as_micros(),
            Order::Publish(round) => publish(&mut sockets, round)?,
        };
        println!("{micros}");
    }
    Ok(())
}

/// Gives the CPU time it took, in microseconds.
fn publish(sockets: &mut [TcpStream], round: Round) -> Result<u128> {
    let before = cpu()?;
    let mut sequence = 0;
    for moment in round.moments() {
        thread::sleep(moment.saturating_duration_since(Instant::now()));
        for _ in 0..round.burst {
            sequence += 1;
            let frame = websocket::binary(&message(sequence, round.frame));
            for socket in &mut *sockets {
                // A full socket would lose its frame, and the count would tell.
                let _ = socket.write(&frame);
            }
        }
    }
    thread::sleep(SETTLE);
    Ok((cpu()? - before).as_micros())
}
