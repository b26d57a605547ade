//! From exec to the last process's end: deadline, commands, and what the main process leaves behind.

use std::time::Duration;

use danube_proto::limits::GRACE_MILLIS;
use danube_proto::v1::{EndCause, StartRequest};
use libc::{SIGCONT, SIGKILL, SIGSTOP, SIGTERM};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::context::Context;
use super::record::{Command, Record};
use crate::process::reaper::{Exit, send};
use crate::process::spawn::Main;
use crate::process::tree::{self, Process};

/// How long to look for processes that KILL has not ended before they are left to the container's end. Only a
/// process stuck inside the kernel lasts that long.
const GIVE_UP: Duration = Duration::from_secs(20);
/// How often to look when nothing is heard.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Passes of stopping before killing. Each one leaves fewer processes that can still fork.
const FREEZES: usize = 50;

/// How it went.
#[derive(Debug)]
pub struct Ended {
    /// Of the main process.
    pub exit: Exit,
    /// Why.
    pub cause: EndCause,
    /// When the main process ended.
    pub at: Instant,
    /// What it left behind and the shim ended.
    pub killed: u32,
    /// What would not die.
    pub stuck: usize,
}

/// Watches over one running step.
pub struct Supervisor<'a> {
    context: &'a Context,
    record: &'a Record,
    commands: &'a mut mpsc::UnboundedReceiver<Command>,
    main: Main,
    deadline: Option<Instant>,
    grace: Duration,
    kill_at: Option<Instant>,
    cause: Option<EndCause>,
    signalled: Option<i32>,
    stuck: usize,
}

impl<'a> Supervisor<'a> {
    /// The process has just started.
    pub fn new(
        context: &'a Context,
        record: &'a Record,
        commands: &'a mut mpsc::UnboundedReceiver<Command>,
        main: Main,
        request: &StartRequest,
    ) -> Self {
        let timeout = (request.timeout_ms > 0).then(|| Duration::from_millis(request.timeout_ms));
        let grace = if request.grace_ms == 0 { GRACE_MILLIS } else { request.grace_ms };
        Self {
            context,
            record,
            commands,
            main,
            deadline: timeout.and_then(|after| Instant::now().checked_add(after)),
            grace: Duration::from_millis(grace),
            kill_at: None,
            cause: None,
            signalled: None,
            stuck: 0,
        }
    }

    /// Returns when neither the main process nor anything it started is left.
    pub async fn run(mut self) -> Ended {
        let exit = self.until_main_ends().await;
        let at = Instant::now();
        let cause = self.why(exit);
        let killed = self.end_the_rest().await;
        Ended { exit, cause, at, killed, stuck: self.stuck }
    }

    fn why(&self, exit: Exit) -> EndCause {
        let by_request = self.signalled.is_some_and(|signal| signal == exit.signal);
        self.cause.unwrap_or(if by_request { EndCause::Stopped } else { EndCause::Exited })
    }

    async fn until_main_ends(&mut self) -> Exit {
        loop {
            tokio::select! {
                biased;
                // The reaper outlives every step, and a pid is told once.
                Ok(exit) = &mut self.main.exit => return exit,
                Some(command) = self.commands.recv() => self.obey(command).await,
                () = at(self.deadline) => self.time_is_up(),
                () = at(self.kill_at) => self.kill().await,
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Stop(cause) => self.stop(cause),
            Command::Kill(cause) => {
                self.cause.get_or_insert(cause);
                self.kill().await;
            }
            Command::Signal(signal) => {
                if self.context.reaper.signal(self.main.pid, signal) {
                    self.signalled = Some(signal);
                }
            }
        }
    }

    fn time_is_up(&mut self) {
        self.deadline = None;
        self.stop(if self.record.is_full() { EndCause::MasterAway } else { EndCause::TimedOut });
    }

    /// TERM to everything, and the clock for KILL. The first cause stays.
    fn stop(&mut self, cause: EndCause) {
        self.deadline = None;
        if self.cause.is_none() {
            self.cause = Some(cause);
            self.terminate(&self.members());
        }
        self.kill_at.get_or_insert(Instant::now() + self.grace);
    }

    /// The group at once, then those outside it. Stopped processes only see it when they continue.
    fn terminate(&self, members: &[Process]) {
        for signal in [SIGTERM, SIGCONT] {
            self.signal_group(members, signal);
            members.iter().filter(|member| member.group != self.main.pid).for_each(|member| {
                send(member.pid, signal);
            });
        }
    }

    /// Ends all that is left of the main process: TERM, grace, KILL. Answers how many there were.
    async fn end_the_rest(&mut self) -> u32 {
        let left = self.left();
        if left.is_empty() {
            return 0;
        }
        if self.cause.is_none() {
            self.terminate(&left);
        }
        let kill_at = self.kill_at.unwrap_or_else(|| Instant::now() + self.grace);
        self.wait_for_the_rest(kill_at).await;
        self.kill().await;
        // What is dead must be gone when the step's end is told.
        self.context.reaper.reap();
        u32::try_from(left.len()).unwrap_or(u32::MAX)
    }

    async fn wait_for_the_rest(&mut self, kill_at: Instant) {
        let mut reaped = self.context.reaper.reaped();
        while !self.left().is_empty() {
            tokio::select! {
                biased;
                () = sleep_until(kill_at) => return,
                Some(command) = self.commands.recv() => if let Command::Kill(_) = command { return },
                _ = timeout(LOOK_AGAIN, reaped.changed()) => {}
            }
        }
    }

    /// KILL until nobody is left. Whoever forks faster than it is killed is stopped first.
    async fn kill(&mut self) {
        self.kill_at = None;
        let mut reaped = self.context.reaper.reaped();
        let give_up = Instant::now() + GIVE_UP;
        loop {
            let members = self.freeze().await;
            self.stuck = members.len();
            if members.is_empty() || Instant::now() > give_up {
                return;
            }
            self.signal_group(&members, SIGKILL);
            members.iter().for_each(|member| {
                send(member.pid, SIGKILL);
            });
            let _ = timeout(LOOK_AGAIN, reaped.changed()).await;
        }
    }

    async fn freeze(&self) -> Vec<Process> {
        let mut members = self.members();
        self.signal_group(&members, SIGSTOP);
        for _ in 0..FREEZES {
            let moving = members.iter().filter(|member| !member.still);
            if moving.fold(0, |count, member| count + usize::from(send(member.pid, SIGSTOP))) == 0 {
                break;
            }
            tokio::task::yield_now().await;
            members = self.members();
        }
        members
    }

    /// The kernel does this for the whole group at once. Its number is the step's as long as a member lives.
    fn signal_group(&self, members: &[Process], signal: i32) {
        if members.iter().any(|member| member.group == self.main.pid) {
            send(-self.main.pid, signal);
        }
    }

    fn left(&self) -> Vec<Process> {
        // The shim adopts orphans: without a child beside the main processes nothing is left of any step.
        if tree::other_children(&self.context.reaper.mains()) { self.members() } else { Vec::new() }
    }

    fn members(&self) -> Vec<Process> {
        let claims = self.context.claims().clone();
        let own = claims.iter().position(|claim| claim.main == self.main.pid);
        own.map_or_else(Vec::new, |own| tree::members(&claims, own))
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
