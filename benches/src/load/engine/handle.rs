//! The engine from outside: its thread, and what it is told.

use super::Loop;
use super::measured::Measured;
use super::tally::Window;
use crate::load::plan::Plan;
use crate::load::process;
use crate::load::seam::{Connection, ConnectionId, Media, MemberId, OutgoingStream};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

pub(super) const WAKE: mio::Token = mio::Token(usize::MAX);

pub(super) enum Command {
    Connect(Box<Connection>),
    Publish(ConnectionId, Vec<OutgoingStream>),
    Close(ConnectionId),
    Layers(ConnectionId, u8),
    Speak(MemberId, bool),
    Scale(f64),
    Measure(Window),
    Collect(tokio::sync::oneshot::Sender<Measured>),
    Stop,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    commands: mpsc::Sender<Command>,
    waker: Arc<mio::Waker>,
    incoming: Arc<AtomicU64>,
}

impl EngineHandle {
    fn tell(&self, command: Command) {
        // The thread ends only when it is told to; afterwards nothing matters.
        if self.commands.send(command).is_ok() {
            let _ = self.waker.wake();
        }
    }

    /// SSRCs that arrive at all members together, as of the last second.
    pub fn incoming_streams(&self) -> u64 {
        self.incoming.load(Ordering::Relaxed)
    }

    /// Whether a member's microphone carries speech or silence.
    pub fn speak(&self, member: MemberId, speaking: bool) {
        self.tell(Command::Speak(member, speaking));
    }

    /// Everything is sent `factor` times as often from now on.
    pub fn scale(&self, factor: f64) {
        self.tell(Command::Scale(factor));
    }

    pub fn measure(&self, window: Window) {
        self.tell(Command::Measure(window));
    }

    /// What was measured; to be asked some time after the window's end, when everything under way has arrived.
    pub async fn collect(&self) -> Option<Measured> {
        let (reply, measured) = tokio::sync::oneshot::channel();
        self.tell(Command::Collect(reply));
        measured.await.ok()
    }
}

impl Media for EngineHandle {
    fn connect(&self, connection: Connection) {
        self.tell(Command::Connect(Box::new(connection)));
    }

    fn publish(&self, id: ConnectionId, streams: Vec<OutgoingStream>) {
        self.tell(Command::Publish(id, streams));
    }

    fn set_layers(&self, id: ConnectionId, layers: u8) {
        self.tell(Command::Layers(id, layers));
    }

    fn close(&self, id: ConnectionId) {
        self.tell(Command::Close(id));
    }
}

/// The running thread; dropping it ends the thread.
pub struct Engine {
    handle: EngineHandle,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Engine {
    /// `cpu` is the core that the thread stays on.
    pub fn start(plan: Plan, cpu: Option<usize>) -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let waker = Arc::new(mio::Waker::new(poll.registry(), WAKE)?);
        let (commands, receiver) = mpsc::channel();
        let incoming = Arc::new(AtomicU64::new(0));
        let measured = Measured::new(None)?;
        let shared = Arc::clone(&incoming);
        let thread = std::thread::Builder::new().name("load-media".to_owned()).spawn(move || {
            process::pin_this_thread(cpu);
            process::run_before_others();
            let mut engine = Loop::new(plan, poll, receiver, measured, shared);
            if let Err(error) = engine.run() {
                eprintln!("the media thread cannot go on: {error}");
            }
        })?;
        Ok(Self { handle: EngineHandle { commands, waker, incoming }, thread: Some(thread) })
    }

    pub fn handle(&self) -> &EngineHandle {
        &self.handle
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.handle.tell(Command::Stop);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("the media thread had panicked");
        }
    }
}
