//! The same over real sockets: loopback, the kernel's buffers, real threads, TLS.

use std::net::Shutdown;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Both ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

fn open(change: impl FnOnce(&mut HubSettings)) -> Arc<Hub> {
    let mut settings = settings();
    settings.sweep = Duration::from_millis(5);
    change(&mut settings);
    let hub = Hub::start(settings);
    hub.open(&session(), language("en"), Gate::Open);
    Arc::new(hub)
}

async fn listener(hub: &Hub, resume: Resume) -> (TcpStream, Arc<Outlet>) {
    let (client, server) = pair().await;
    socket::tune(&server, 32 * 1024).unwrap();
    let outlet = hub.outlet(Socket::Plain(server));
    take_seat(hub, &outlet, resume);
    (client, outlet)
}

fn take_seat(hub: &Hub, outlet: &Arc<Outlet>, resume: Resume) {
    let seat = (language("es"), Framing::Binary);
    let greeting = |replayed| Bytes::from(format!("g{replayed};"));
    hub.seat(outlet, &session(), seat, resume, greeting).unwrap();
}

async fn read_until(client: &mut (impl AsyncReadExt + Unpin), end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        assert!(client.read_buf(&mut read).await.unwrap() > 0, "ended before {end}");
    }
    String::from_utf8(read).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn joining_while_others_publish_loses_and_doubles_nothing() {
    const LAST: u32 = 3_000;
    const JOINS: usize = 100;
    let hub = open(|settings| {
        settings.history.frames = LAST as usize;
        settings.queue.frames = LAST as usize;
    });
    let voice = hub.voice(&session()).unwrap();
    let publishing = {
        let hub = Arc::clone(&hub);
        std::thread::spawn(move || {
            for sequence in 1..=LAST {
                hub.publish(&voice, audio(sequence));
                if sequence % 8 == 0 {
                    std::thread::yield_now();
                }
            }
        })
    };
    let mut listeners = Vec::new();
    for n in 0..JOINS {
        let after = hub.last_sequence(&session()).unwrap_or(0).saturating_sub(n as u32);
        let resume = if n % 3 == 0 { Resume::Live } else { Resume::After(after) };
        let (mut client, outlet) = listener(&hub, resume).await;
        listeners.push(tokio::spawn(async move {
            let heard = read_until(&mut client, "end;").await;
            drop(outlet);
            (resume, heard)
        }));
    }
    publishing.join().unwrap();
    hub.tell(&session(), word("end;")).unwrap();
    for listener in listeners {
        let (resume, heard) = listener.await.unwrap();
        let mut words = heard.split_terminator(';');
        let replayed: u32 = words.next().unwrap().strip_prefix('g').unwrap().parse().unwrap();
        let heard: Vec<u32> =
            words.filter_map(|word| word.strip_prefix('a')).map(|n| n.parse().unwrap()).collect();
        let gap = heard.windows(2).find(|two| two[1] != two[0] + 1);
        assert_eq!(gap, None, "{resume:?}");
        assert!(heard.last().is_none_or(|last| *last == LAST), "{resume:?}");
        match resume {
            Resume::Live => assert_eq!(replayed, 0),
            Resume::After(after) => {
                assert_eq!(heard.first().copied().unwrap_or(after + 1), after + 1)
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_stops_reading_delays_nobody_and_holds_little() {
    let (clock, hand) = Clock::by_hand();
    let hub = open(|settings| {
        settings.clock = clock;
        settings.queue.frames = 50;
        settings.shards = 1;
    });
    let (mut stuck, stuck_outlet) = listener(&hub, Resume::Live).await;
    let (mut quick, _quick_outlet) = listener(&hub, Resume::Live).await;
    read_until(&mut quick, ";").await;
    let voice = hub.voice(&session()).unwrap();
    let payload = Bytes::from(vec![b'x'; 8 * 1024]);
    let mut sequence = 0;
    while stuck_outlet.room_for_waiting() < 50 || sequence < 200 {
        sequence += 1;
        assert!(sequence < 5_000, "the kernel took {} KiB", sequence * 8);
        hub.publish(&voice, Frame { payload: payload.clone(), ..audio(sequence) });
        read_until(&mut quick, "x;").await;
    }
    assert!(stuck_outlet.room_for_waiting() <= 128);
    assert_eq!(stuck_outlet.why(), None);
    hand.turn(Duration::from_secs(11));
    while stuck_outlet.why().is_none() {
        tokio::task::yield_now().await;
    }
    let mut heard = Vec::new();
    let closed = stuck_outlet.closed();
    let reads = async {
        while stuck.read_buf(&mut heard).await.is_ok_and(|bytes| bytes > 0) {}
        // The peer has read all, the close frame too, and goes.
        hand.turn(Duration::from_secs(3));
    };
    let (why, ()) = tokio::join!(closed, reads);
    assert_eq!(why, Why::SlowConsumer);
    let heard = String::from_utf8(heard).unwrap();
    assert!(heard.ends_with("x;slow;"), "whole frames, then the reason");
    assert!(hub.counters().dropped_slow.load(Ordering::Relaxed) > 0);
    assert_eq!(hub.count(&session()), 1);
}

#[tokio::test]
async fn an_end_reaches_everyone_and_then_the_streams_end() {
    let hub = open(|_| {});
    let mut listeners = Vec::new();
    for _ in 0..50 {
        listeners.push(listener(&hub, Resume::Live).await);
    }
    assert_eq!(hub.seats(&session()).await.len(), 50);
    assert_eq!(hub.end(&session(), word("ended;"), word("close;")), Ok(50));
    for (client, _) in &mut listeners {
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "g0;ended;close;");
    }
    assert!(hub.seats(&session()).await.is_empty());
}

#[tokio::test]
async fn a_reading_task_sees_the_end_of_an_aborted_socket() {
    let hub = open(|_| {});
    let (_client, outlet) = listener(&hub, Resume::Live).await;
    let reading = {
        let outlet = Arc::clone(&outlet);
        tokio::spawn(async move {
            loop {
                outlet.socket().readable().await.unwrap();
                match outlet.socket().try_read(&mut [0; 8]) {
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    read => return read.unwrap(),
                }
            }
        })
    };
    tokio::task::yield_now().await;
    outlet.abort();
    assert_eq!(reading.await.unwrap(), 0);
}

/// Both ends of a TLS connection, the server's taken apart as after an upgrade.
async fn tls_pair() -> (tokio_rustls::client::TlsStream<TcpStream>, Socket) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = certified.cert.der().clone();
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let (near, far) = pair().await;
    socket::tune(&far, 32 * 1024).unwrap();
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let (client, server) = tokio::join!(
        tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, near),
        tokio_rustls::TlsAcceptor::from(Arc::new(server)).accept(far),
    );
    let (stream, session) = server.unwrap().into_inner();
    (client.unwrap(), Socket::tls(stream, session))
}

#[tokio::test]
async fn tls_carries_the_same_in_both_directions() {
    let hub = open(|_| {});
    let (mut client, socket) = tls_pair().await;
    let outlet = hub.outlet(socket);
    take_seat(&hub, &outlet, Resume::Live);
    let voice = hub.voice(&session()).unwrap();
    // Far more than any buffer on the way holds, so that writing stops and goes on.
    let payload = Bytes::from(vec![b'x'; 8 * 1024]);
    for sequence in 1..=1_000 {
        hub.publish(&voice, Frame { payload: payload.clone(), ..audio(sequence) });
    }
    hub.tell(&session(), word("end;")).unwrap();
    let heard = read_until(&mut client, "end;").await;
    let expected: Vec<_> = (1..=1_000).map(|sequence| format!("a{sequence}x")).collect();
    let heard: Vec<_> = heard.split_terminator(';').collect();
    assert_eq!(heard.len(), 1_002);
    assert!(heard[1..1_001].iter().zip(&expected).all(|(heard, start)| heard.starts_with(start)));

    client.write_all(&[b'y'; 100_000]).await.unwrap();
    client.shutdown().await.unwrap();
    let mut read = 0;
    loop {
        match outlet.socket().try_read(&mut [0; 5_000]) {
            Ok(0) => break,
            Ok(bytes) => read += bytes,
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                outlet.socket().readable().await.unwrap();
            }
        }
    }
    assert_eq!(read, 100_000);
    outlet.close(word("close;"));
    assert_eq!(read_until(&mut client, "close;").await, "close;");
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0, "a clean end, not a cut");
}

#[tokio::test]
async fn what_tls_holds_back_is_sent_when_there_is_room() {
    let hub = open(|_| {});
    let (mut client, socket) = tls_pair().await;
    let outlet = hub.outlet(socket);
    let message = Bytes::from(vec![b'x'; 4 * 1024]);
    // Stops somewhere inside TLS's own buffer, at each time in another place.
    let mut sent = 0;
    while outlet.room_for_waiting() == 0 {
        outlet.send(message.clone());
        sent += message.len();
    }
    outlet.send(word("end;"));
    assert_eq!(read_until(&mut client, "end;").await.len(), sent + 4);
    assert_eq!(outlet.room_for_waiting(), 0);
}

#[tokio::test]
async fn a_peer_that_is_gone_is_noticed_when_written_to() {
    let hub = open(|_| {});
    let (client, outlet) = listener(&hub, Resume::Live).await;
    client.into_std().unwrap().shutdown(Shutdown::Both).unwrap();
    let voice = hub.voice(&session()).unwrap();
    for sequence in 1.. {
        hub.publish(&voice, audio(sequence));
        tokio::task::yield_now().await;
        if let Some(why) = outlet.why() {
            assert_eq!(why, Why::Failed);
            break;
        }
    }
    assert_eq!(hub.count(&session()), 0);
}
