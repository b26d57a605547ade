//! The coordinator's mailbox: calls of the SDK wait here for whichever master is connected.

pub mod socket;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use danube_proto::limits::CALLS;
use danube_proto::v1::{CoordinateReply, CoordinateRequest, coordinate_request::Of};
use tokio::sync::mpsc;

/// Names a call; made by the SDK.
pub type CallId = [u8; 16];

/// Bytes of waiting calls at most.
const WAITING_BYTES: usize = 64 * 1024 * 1024;
/// Lines to one process that it has not read yet, at most.
const UNREAD_LINES: usize = 16;
/// Outcomes remembered for masters that missed them.
const OUTCOMES: usize = 1024;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The final line reached the process.
    Answered,
    /// The process closed the connection first.
    Gone,
}

/// A line for the process that called.
#[derive(Debug)]
pub struct Line {
    /// Without the newline.
    pub text: Bytes,
    /// No other follows.
    pub last: bool,
}

/// The calls that wait, and how the last ones ended.
#[derive(Debug, Default)]
pub struct Mailbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: BTreeMap<u64, Call>,
    numbers: HashMap<CallId, u64>,
    next: u64,
    bytes: usize,
    outcomes: VecDeque<(CallId, Outcome)>,
    master: Option<mpsc::UnboundedSender<CoordinateRequest>>,
}

#[derive(Debug)]
struct Call {
    id: CallId,
    text: Bytes,
    lines: mpsc::Sender<Line>,
    answered: bool,
}

impl Mailbox {
    /// A master follows the mailbox from now on; a former one no longer. It is told everything that it may not know:
    /// all calls that wait, and how the last ones ended.
    pub fn follow(&self) -> mpsc::UnboundedReceiver<CoordinateRequest> {
        let (tell, told) = mpsc::unbounded_channel();
        let mut state = self.state();
        state.master = Some(tell);
        state.calls.values().for_each(|call| state.tell(call.id, Of::Call(call.text.clone())));
        state.outcomes.iter().for_each(|(id, outcome)| state.tell_outcome(*id, *outcome));
        told
    }

    /// Takes in a call. The lines that answer it arrive at the receiver. The error is for the caller.
    pub fn open(&self, id: CallId, text: Bytes) -> Result<mpsc::Receiver<Line>, &'static str> {
        let mut state = self.state();
        if state.numbers.contains_key(&id) {
            return Err("a call with this id is waiting already");
        }
        if state.calls.len() >= CALLS || state.bytes + text.len() > WAITING_BYTES {
            return Err("too many calls wait; run fewer steps at once");
        }
        let (lines, answers) = mpsc::channel(UNREAD_LINES);
        state.bytes += text.len();
        state.next += 1;
        let number = state.next;
        state.numbers.insert(id, number);
        state.tell(id, Of::Call(text.clone()));
        state.calls.insert(number, Call { id, text, lines, answered: false });
        Ok(answers)
    }

    /// A call is over.
    pub fn close(&self, id: CallId, outcome: Outcome) {
        let mut state = self.state();
        let Some(call) = state.numbers.remove(&id).and_then(|number| state.calls.remove(&number)) else { return };
        state.bytes -= call.text.len();
        if state.outcomes.len() == OUTCOMES {
            state.outcomes.pop_front();
        }
        state.outcomes.push_back((id, outcome));
        state.tell_outcome(id, outcome);
    }

    /// A line from the master. One that came before is not given twice; for a call that is over its outcome is told
    /// again, since the master seems to have missed it.
    pub fn reply(&self, reply: CoordinateReply) {
        let Ok(id) = CallId::try_from(reply.call_id.as_ref()) else { return };
        let mut state = self.state();
        let number = state.numbers.get(&id).copied();
        if let Some(call) = number.and_then(|number| state.calls.get_mut(&number)) {
            call.give(reply);
            return;
        }
        let outcome = state.outcomes.iter().rev().find(|(known, _)| *known == id).map(|(_, outcome)| *outcome);
        state.tell_outcome(id, outcome.unwrap_or(Outcome::Gone));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&self, id: CallId, of: Of) {
        if let Some(master) = &self.master {
            // A master that has left is told on its next Coordinate.
            let _ = master.send(CoordinateRequest { call_id: id.to_vec().into(), of: Some(of) });
        }
    }

    fn tell_outcome(&self, id: CallId, outcome: Outcome) {
        self.tell(id, if outcome == Outcome::Answered { Of::Answered(true) } else { Of::Gone(true) });
    }
}

impl Call {
    /// A process that does not read loses lines of progress, never the last one: one place is kept for it.
    fn give(&mut self, reply: CoordinateReply) {
        let full = self.lines.capacity() <= 1;
        if self.answered || full && !reply.r#final {
            return;
        }
        self.answered = reply.r#final;
        let _ = self.lines.try_send(Line { text: reply.line, last: reply.r#final });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(master: &mut mpsc::UnboundedReceiver<CoordinateRequest>) -> Vec<Of> {
        std::iter::from_fn(|| master.try_recv().ok()).filter_map(|request| request.of).collect()
    }

    fn reply(id: CallId, text: &'static str) -> CoordinateReply {
        CoordinateReply { call_id: id.to_vec().into(), line: text.into(), r#final: true }
    }

    #[test]
    fn a_new_master_is_told_what_waits_and_what_it_may_have_missed() {
        let mailbox = Mailbox::default();
        let _waiting = mailbox.open([1; 16], "a".into()).expect("open");
        let _done = mailbox.open([2; 16], "b".into()).expect("open");
        mailbox.close([2; 16], Outcome::Gone);
        assert_eq!(told(&mut mailbox.follow()), [Of::Call("a".into()), Of::Gone(true)]);
    }

    #[test]
    fn a_reply_given_twice_arrives_once_and_its_outcome_is_told_again() {
        let mailbox = Mailbox::default();
        let mut lines = mailbox.open([1; 16], "a".into()).expect("open");
        let mut master = mailbox.follow();
        mailbox.reply(reply([1; 16], "ok"));
        mailbox.reply(reply([1; 16], "ok"));
        assert_eq!(lines.try_recv().expect("a line").text, "ok");
        assert!(lines.try_recv().is_err());
        mailbox.close([1; 16], Outcome::Answered);
        mailbox.reply(reply([1; 16], "ok"));
        assert_eq!(told(&mut master), [Of::Call("a".into()), Of::Answered(true), Of::Answered(true)]);
    }

    #[test]
    fn the_last_line_arrives_however_many_were_not_read() {
        let mailbox = Mailbox::default();
        let mut lines = mailbox.open([1; 16], "a".into()).expect("open");
        for _ in 0..100 {
            mailbox.reply(CoordinateReply { r#final: false, ..reply([1; 16], "progress") });
        }
        mailbox.reply(reply([1; 16], "ok"));
        let all: Vec<_> = std::iter::from_fn(|| lines.try_recv().ok()).collect();
        assert!(all.last().expect("lines").last);
    }
}
