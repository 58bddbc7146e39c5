//! A socket whose room the test decides.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// One end for the outlet, the same for the test.
#[derive(Clone, Debug, Default)]
pub struct Pipe(Arc<Mutex<Inside>>);

#[derive(Debug, Default)]
struct Inside {
    room: usize,
    written: Vec<u8>,
    writes: usize,
    waker: Option<Waker>,
    shut: Option<Shutdown>,
}

impl Pipe {
    pub fn with_room(room: usize) -> Self {
        let pipe = Self::default();
        pipe.0.lock().room = room;
        pipe
    }

    pub fn make_room(&self, more: usize) {
        let waker = {
            let mut inside = self.0.lock();
            inside.room = inside.room.saturating_add(more);
            inside.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    pub fn fill_up(&self) {
        self.0.lock().room = 0;
    }

    pub fn written(&self) -> String {
        String::from_utf8(self.0.lock().written.clone()).unwrap()
    }

    /// Writes that took anything.
    pub fn writes(&self) -> usize {
        self.0.lock().writes
    }

    pub fn is_finished(&self) -> bool {
        self.0.lock().shut == Some(Shutdown::Write)
    }

    pub fn is_shut(&self) -> bool {
        self.0.lock().shut == Some(Shutdown::Both)
    }

    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut inside = self.0.lock();
        if inside.shut.is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if inside.room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let before = inside.written.len();
        for slice in slices {
            let taken = slice.len().min(inside.room);
            inside.written.extend_from_slice(&slice[..taken]);
            inside.room -= taken;
        }
        inside.writes += 1;
        Ok(inside.written.len() - before)
    }

    pub fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inside = self.0.lock();
        if inside.room > 0 || inside.shut.is_some() {
            return Poll::Ready(Ok(()));
        }
        inside.waker = Some(context.waker().clone());
        Poll::Pending
    }

    pub fn shutdown(&self, how: Shutdown) {
        let waker = {
            let mut inside = self.0.lock();
            inside.shut = Some(how);
            inside.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}
