//! A connected socket, plain or TLS, that a reading task and a shard use side by side.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use rustls::ServerConnection;
use socket2::SockRef;
use tokio::net::TcpStream;

/// A connected socket. Everything takes `&self`, nothing waits except what is `async`.
#[derive(Debug)]
pub enum Socket {
    /// Bytes as they are.
    Plain(TcpStream),
    /// Bytes through TLS. Boxed, since a session is many times the size of a stream.
    Tls(Box<Tls>),
    /// A socket of the tests, whose room they decide.
    #[cfg(test)]
    Pipe(crate::tests::pipe::Pipe),
}

/// What an upgraded TLS connection is made of.
#[derive(Debug)]
pub struct Tls {
    stream: TcpStream,
    session: Mutex<ServerConnection>,
}

/// Plain text that one TLS connection may hold in encrypted form while its socket is full, in
/// bytes: one full record, so that a slow listener's backlog stays where drop-oldest can see it.
const TLS_BUFFER: usize = 16 * 1024;

/// Makes a stream fit for live audio: small frames leave at once, and the kernel keeps no more
/// than `send_buffer` bytes (it doubles them) out of sight of the slow-listener policy.
pub fn tune(stream: &TcpStream, send_buffer: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_send_buffer_size(send_buffer)
}

impl Socket {
    /// A socket of what a TLS stream was taken apart into. Bytes may already wait inside the
    /// session: read before the first wait for readability.
    pub fn tls(stream: TcpStream, mut session: ServerConnection) -> Self {
        session.set_buffer_limit(Some(TLS_BUFFER));
        Self::Tls(Box::new(Tls { stream, session: Mutex::new(session) }))
    }

    /// Reads what is there. `Ok(0)` is the end of the stream; `WouldBlock` asks to wait for
    /// [`readable`](Self::readable), and only it does.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_read(buffer),
            Self::Tls(tls) => tls.try_read(buffer),
            #[cfg(test)]
            Self::Pipe(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes as much as the socket takes. What TLS has encrypted but not yet sent counts as
    /// written: see [`try_flush`](Self::try_flush).
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => write_plain(stream, slices),
            Self::Tls(tls) => tls.try_write_vectored(slices),
            #[cfg(test)]
            Self::Pipe(pipe) => pipe.try_write_vectored(slices),
        }
    }

    /// Sends what TLS still holds. `WouldBlock` says that some of it is still held.
    pub fn try_flush(&self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush(&mut tls.session.lock()),
            #[cfg(test)]
            Self::Pipe(_) => Ok(()),
        }
    }

    /// Waits until there may be something to read, or the stream has ended.
    pub async fn readable(&self) -> io::Result<()> {
        match self.stream() {
            Some(stream) => stream.readable().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until there may be room to write.
    pub async fn writable(&self) -> io::Result<()> {
        match self.stream() {
            Some(stream) => stream.writable().await,
            None => std::future::pending().await,
        }
    }

    /// Asks for one wake when there is room again; the last waker asked for is the one woken.
    pub(crate) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_write_ready(context),
            Self::Tls(tls) => tls.stream.poll_write_ready(context),
            #[cfg(test)]
            Self::Pipe(pipe) => pipe.poll_writable(context),
        }
    }

    /// Says that nothing more will be written, and lets the peer finish.
    pub fn finish(&self) {
        if let Self::Tls(tls) = self {
            let mut session = tls.session.lock();
            session.send_close_notify();
            // A socket too full for an alert is not worth waiting for.
            let _ = tls.flush(&mut session);
        }
        self.shut(Shutdown::Write);
    }

    /// Ends both directions at once; a reading task sees the end of the stream.
    pub fn shutdown(&self) {
        self.shut(Shutdown::Both);
    }

    fn shut(&self, how: Shutdown) {
        #[cfg(test)]
        if let Self::Pipe(pipe) = self {
            pipe.shutdown(how);
        }
        if let Some(stream) = self.stream() {
            // Fails only when the peer was faster, and then nothing is left to do.
            let _ = SockRef::from(stream).shutdown(how);
        }
    }

    /// The stream beneath, for its addresses.
    pub fn stream(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(tls) => Some(&tls.stream),
            #[cfg(test)]
            Self::Pipe(_) => None,
        }
    }
}

impl Tls {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut session = self.session.lock();
        loop {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            session.read_tls(&mut Raw(&self.stream))?;
            let outcome = session.process_new_packets();
            // Answers of the protocol itself; should they not fit, the next write takes them.
            let _ = self.flush(&mut session);
            outcome.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.session.lock();
        self.flush(&mut session)?;
        let written = session.writer().write_vectored(slices)?;
        match self.flush(&mut session) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(written),
        }
    }

    fn flush(&self, session: &mut ServerConnection) -> io::Result<()> {
        while session.wants_write() {
            session.write_tls(&mut Raw(&self.stream))?;
        }
        Ok(())
    }
}

/// The stream as rustls wants to see it.
struct Raw<'a>(&'a TcpStream);

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0.try_write(part)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        write_plain(self.0, slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One slice goes by the cheaper system call.
fn write_plain(stream: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    match slices {
        [one] => stream.try_write(one),
        many => stream.try_write_vectored(many),
    }
}
