//! The process log: lines on standard output in the form of CoreDNS, `[LEVEL] plugin/NAME: what happened`.
//!
//! Code logs through `tracing`; the field `plugin` names the plugin. A thread of its own writes the lines, from a
//! queue that is bounded: a reader of our output that stands still costs lines, never answers.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

/// Lines that may wait to be written.
const QUEUE: usize = 8192;

enum Message {
    Line(String),
    /// Everything queued before this is written; then the sender is told.
    Flush(SyncSender<()>),
}

/// Where the lines of the process go. Cheap to clone.
#[derive(Clone)]
pub struct LogSink {
    queue: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

impl LogSink {
    /// Starts the thread that writes to `output`.
    pub fn start(output: impl Write + Send + 'static) -> Self {
        let (queue, lines) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        let thread = thread::Builder::new().name("log".to_owned());
        // Without the thread (no memory, no threads left) lines are dropped and counted: serving goes on.
        let _ = thread.spawn(move || write_lines(&lines, output, &counter));
        Self { queue, lost }
    }

    /// Queues a line. It is dropped where the queue is full; the log says later how many were.
    pub fn line(&self, line: String) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.queue.try_send(Message::Line(line)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was queued is written.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.queue.send(Message::Flush(done)).is_ok() {
            // An error means that the thread has ended, so that there is nothing to wait for.
            let _ = wait.recv();
        }
    }
}

fn write_lines(lines: &Receiver<Message>, output: impl Write, lost: &AtomicU64) {
    let mut output = io::BufWriter::new(output);
    // A closed or full output is no reason to stop serving: errors of writing are ignored, as CoreDNS does.
    while let Ok(first) = lines.recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(line) => {
                    let _ = output.write_all(line.as_bytes());
                    let _ = output.write_all(b"\n");
                }
                Message::Flush(done) => {
                    let _ = output.flush();
                    let _ = done.try_send(());
                }
            }
            next = lines.try_recv().ok();
        }
        let dropped = lost.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let _ = writeln!(output, "[WARNING] {dropped} log lines were dropped: the output is read too slowly");
        }
        let _ = output.flush();
    }
}

/// The subscriber of `tracing` that makes the lines.
struct LineSubscriber {
    sink: LogSink,
}

static SINK: OnceLock<LogSink> = OnceLock::new();

/// Sends the process's log to standard output. A second call changes nothing.
pub fn start() -> LogSink {
    let sink = SINK.get_or_init(|| LogSink::start(io::stdout())).clone();
    let subscriber = LineSubscriber { sink: sink.clone() };
    // Fails only where a subscriber is set already, as in tests that start several servers.
    let _ = tracing::subscriber::set_global_default(subscriber);
    sink
}

impl Subscriber for LineSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_span() {
            return false;
        }
        // What our own code says is for the operator. Libraries below us speak only when something is wrong, but for
        // kube, which has every failed connection in its log: we tell of the first.
        if metadata.target().starts_with("kube") {
            return false;
        }
        let ours = metadata.target().starts_with("rustk8s");
        *metadata.level() <= if ours { Level::INFO } else { Level::ERROR }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        // Spans are not enabled; the id is never looked at.
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.sink.line(fields.line(*event.metadata().level()));
    }
}

/// The fields of an event, put in order.
#[derive(Default)]
struct Fields {
    plugin: String,
    message: String,
    others: String,
}

impl Fields {
    fn line(self, level: Level) -> String {
        let level = match level {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::DEBUG | Level::TRACE => "DEBUG",
        };
        let mut line = format!("[{level}] ");
        if !self.plugin.is_empty() {
            line.push_str("plugin/");
            line.push_str(&self.plugin);
            line.push_str(": ");
        }
        push_one_line(&mut line, &self.message);
        push_one_line(&mut line, &self.others);
        line
    }
}

/// Appends text with line breaks and other control characters escaped: names from the network cannot forge lines.
fn push_one_line(line: &mut String, text: &str) {
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "plugin" => self.plugin.push_str(value),
            "message" => self.message.push_str(value),
            name => {
                // Writing to a String cannot fail.
                let _ = write!(self.others, " {name}={value}");
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Buffer {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn the_form_of_a_line() {
        let buffer = Buffer::default();
        let sink = LogSink::start(buffer.clone());
        let subscriber = LineSubscriber { sink: sink.clone() };
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(plugin = "kubernetes", "waiting");
            tracing::warn!(port = 53, "a\nforged line");
            tracing::debug!("not shown");
            tracing::warn!(target: "hyper::proto", "not shown either");
            tracing::error!(target: "kube_client::client", "nor this");
            tracing::error!("bad");
        });
        sink.flush();
        let expected = "[INFO] plugin/kubernetes: waiting\n[WARNING] a\\nforged line port=53\n[ERROR] bad\n";
        assert_eq!(buffer.text(), expected);
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_no_time() {
        struct Stuck(Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                // Returns once the test drops its end.
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (release, stuck) = sync_channel(0);
        let sink = LogSink::start(Stuck(stuck));
        for _ in 0..2 * QUEUE {
            sink.line("x".repeat(100));
        }
        assert!(sink.lost.load(Ordering::Relaxed) > 0);
        drop(release);
        sink.flush();
    }
}
