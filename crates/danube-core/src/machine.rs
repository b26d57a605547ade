//! The state machine of a job: an event changes the state and asks for effects. Pure: the engine performs the
//! effects and feeds back what happened. Restart is not special: a recovered job gets the ordinary events again,
//! because every effect is idempotent and preceded by its row.
//!
//! ```text
//! Pending ─Begin─► Creating ─GroupReady─► Running ─RunnerEnded─► Settling ─StepsSettled─► Closing ─Terminated─► Done
//!                     └── GroupFailed / deadline / coordinator gone ──────────────────────────────────────────────┘
//! ```

use crate::job::{Facts, Interrupt, JobStatus, Loss, RunnerEnd, Verdict, verdict};
use crate::runtime::{GroupFailure, OomRecord};

/// Where the job's task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was asked of the runtime yet.
    Pending,
    /// The group is being made.
    Creating,
    /// The runner runs.
    Running,
    /// The runner ended; steps it left behind are being stopped.
    Settling,
    /// Every step has ended and every byte is durable; the shims were told to exit.
    Closing,
    /// The verdict stands.
    Done,
}

/// A deadline that the engine arms on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timer {
    /// The job's timeout.
    Job,
    /// `cleanup_timeout` after a cancel or timeout.
    Cleanup,
    /// For the runner to end after it was stopped, and for the containers to end after `Shutdown`.
    Exit,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The job was picked up (also after a restart).
    Begin,
    /// Every container known before the start runs.
    GroupReady,
    /// The group cannot be made, or was lost.
    GroupFailed(GroupFailure, String),
    /// A step's row was written.
    StepStarted,
    /// The shim's record of the runner is durable.
    RunnerEnded(RunnerEnd),
    /// No step is active any more.
    StepsSettled,
    /// The runtime says a container's PID 1 ended.
    Terminated {
        /// Whether it is the coordinator.
        coordinator: bool,
        /// Its name.
        container: String,
        /// Its exit code.
        exit_code: i32,
        /// An out-of-memory kill in it.
        oom: Option<OomRecord>,
    },
    /// A step ran out of its container's memory; the container lives on.
    OutOfMemory {
        /// The container's name.
        container: String,
        /// Its limit, and the most that the step used.
        oom: OomRecord,
    },
    /// A service ended, and nobody had asked it to.
    ServiceDied {
        /// Which, how, and its last lines.
        message: String,
        /// It had become ready: the danubefile counts on it. Before that the call that started it tells.
        was_ready: bool,
    },
    /// A record cannot be trusted.
    Distrust(String),
    /// Somebody wants the job stopped; `force` does not wait for cleanup.
    Cancel {
        /// A second, impatient wish.
        force: bool,
    },
    /// A timer went off.
    Deadline(Timer),
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write the status down.
    Persist(JobStatus),
    /// Make the group, or find the one made before.
    CreateGroup,
    /// Start the SDK's runner, or find the one started before, and serve its calls.
    StartRunner,
    /// Raise `JobCancelled`, `JobTimeout` or `ServiceDied` in the danubefile and stop the steps that run. Services run on:
    /// cleanup code may need them.
    Interrupt(Interrupt),
    /// Stop the runner: TERM, grace, KILL.
    StopRunner,
    /// Kill runner and steps now.
    KillAll,
    /// Stop all steps, then all services, and say when none is left.
    SettleSteps,
    /// Tell every shim to exit, the coordinator's with this code.
    Shutdown {
        /// The runner's exit code.
        exit_code: i32,
    },
    /// (Re)arm a timer.
    Arm(Timer),
    /// Write the verdict down; then delete the group.
    Finish(Verdict),
}

/// A job's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    phase: Phase,
    facts: Facts,
}

impl Default for Machine {
    fn default() -> Self {
        Self { phase: Phase::Pending, facts: Facts::default() }
    }
}

impl Machine {
    /// A job with `steps` started before a restart; 0 for a new one.
    #[must_use]
    pub fn new(steps: u32) -> Self {
        Self { phase: Phase::Pending, facts: Facts { steps, ..Facts::default() } }
    }

    /// Where it stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether a cancel or timeout is under way.
    #[must_use]
    pub const fn interrupt(&self) -> Option<Interrupt> {
        self.facts.interrupt
    }

    /// Takes an event and says what to do, in order. Events that no longer matter give nothing.
    pub fn on(&mut self, event: Event) -> Vec<Effect> {
        if self.phase == Phase::Done {
            return Vec::new();
        }
        match event {
            Event::Begin => self.begin(),
            Event::GroupReady => self.ready(),
            Event::GroupFailed(kind, message) => self.group_failed(kind, message),
            Event::StepStarted => self.step_started(),
            Event::RunnerEnded(end) => self.runner_ended(end),
            Event::StepsSettled => self.settled(),
            Event::Terminated { coordinator: true, exit_code, .. } => self.coordinator_gone(exit_code),
            Event::Terminated { coordinator: false, container, oom, .. } => self.worker_gone(container, oom),
            Event::OutOfMemory { container, oom } => self.worker_gone(container, Some(oom)),
            Event::ServiceDied { message, was_ready } => self.service_died(message, was_ready),
            Event::Distrust(message) => self.distrust(message),
            Event::Cancel { force: true } => self.force_cancel(),
            Event::Cancel { force: false } => self.interrupted(Interrupt::Cancel),
            Event::Deadline(timer) => self.deadline(timer),
        }
    }

    fn begin(&mut self) -> Vec<Effect> {
        if self.phase != Phase::Pending {
            return Vec::new();
        }
        self.phase = Phase::Creating;
        vec![Effect::Persist(JobStatus::Scheduling), Effect::CreateGroup]
    }

    fn ready(&mut self) -> Vec<Effect> {
        if self.phase != Phase::Creating {
            return Vec::new();
        }
        self.phase = Phase::Running;
        vec![Effect::Persist(JobStatus::Running), Effect::Arm(Timer::Job), Effect::StartRunner]
    }

    fn group_failed(&mut self, kind: GroupFailure, message: String) -> Vec<Effect> {
        self.facts.group_failure.get_or_insert((kind, message));
        self.finish()
    }

    fn step_started(&mut self) -> Vec<Effect> {
        self.facts.steps += 1;
        Vec::new()
    }

    fn runner_ended(&mut self, end: RunnerEnd) -> Vec<Effect> {
        if self.phase != Phase::Running {
            return Vec::new();
        }
        self.facts.runner = Some(end);
        self.phase = Phase::Settling;
        // A worker that never tells of a step's end must not keep the job for ever.
        vec![Effect::SettleSteps, Effect::Arm(Timer::Exit)]
    }

    fn settled(&mut self) -> Vec<Effect> {
        let (Phase::Settling, Some(runner)) = (self.phase, self.facts.runner) else { return Vec::new() };
        self.phase = Phase::Closing;
        let mut effects = vec![Effect::Shutdown { exit_code: runner.exit_code }, Effect::Arm(Timer::Exit)];
        if self.facts.coordinator_exit.is_some() {
            effects.extend(self.finish());
        }
        effects
    }

    /// Expected after `Shutdown`; before it, the runner's record is missing and the verdict will say so.
    fn coordinator_gone(&mut self, exit_code: i32) -> Vec<Effect> {
        self.facts.coordinator_exit = Some(exit_code);
        if self.phase == Phase::Settling { Vec::new() } else { self.finish() }
    }

    /// The danubefile learns of it from its steps and may handle it; the verdict only remembers.
    fn worker_gone(&mut self, container: String, oom: Option<OomRecord>) -> Vec<Effect> {
        if matches!(self.phase, Phase::Creating | Phase::Running) {
            self.facts.loss.get_or_insert(Loss { container, oom });
        }
        Vec::new()
    }

    /// When the danubefile has ended nobody needs a service any more.
    fn service_died(&mut self, message: String, was_ready: bool) -> Vec<Effect> {
        if self.phase != Phase::Running {
            return Vec::new();
        }
        self.facts.service.get_or_insert(message);
        if was_ready { self.interrupted(Interrupt::Service) } else { Vec::new() }
    }

    fn distrust(&mut self, message: String) -> Vec<Effect> {
        self.facts.distrust.get_or_insert(message);
        if self.phase == Phase::Running { vec![Effect::KillAll, Effect::Arm(Timer::Exit)] } else { Vec::new() }
    }

    fn interrupted(&mut self, interrupt: Interrupt) -> Vec<Effect> {
        if self.facts.interrupt.is_some() {
            return Vec::new();
        }
        match self.phase {
            Phase::Pending | Phase::Creating => {
                self.facts.interrupt = Some(interrupt);
                self.finish()
            }
            Phase::Running => {
                self.facts.interrupt = Some(interrupt);
                vec![Effect::Interrupt(interrupt), Effect::Arm(Timer::Cleanup)]
            }
            // The danubefile has ended: its result stands.
            Phase::Settling | Phase::Closing | Phase::Done => Vec::new(),
        }
    }

    fn force_cancel(&mut self) -> Vec<Effect> {
        match self.phase {
            Phase::Running => {
                self.facts.interrupt.get_or_insert(Interrupt::Cancel);
                vec![Effect::KillAll, Effect::Arm(Timer::Exit)]
            }
            _ => self.interrupted(Interrupt::Cancel),
        }
    }

    fn deadline(&mut self, timer: Timer) -> Vec<Effect> {
        match (timer, self.phase) {
            (Timer::Job, _) => self.interrupted(Interrupt::Timeout),
            (Timer::Cleanup, Phase::Running) => vec![Effect::StopRunner, Effect::Arm(Timer::Exit)],
            (Timer::Exit, Phase::Running | Phase::Settling | Phase::Closing) => self.finish(),
            _ => Vec::new(),
        }
    }

    /// The one place that finishes a job.
    fn finish(&mut self) -> Vec<Effect> {
        self.phase = Phase::Done;
        vec![Effect::Finish(verdict(&self.facts))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::FailureKind;

    fn running() -> Machine {
        let mut machine = Machine::default();
        machine.on(Event::Begin);
        machine.on(Event::GroupReady);
        machine.on(Event::StepStarted);
        machine
    }

    fn ended(exit_code: i32) -> Event {
        Event::RunnerEnded(RunnerEnd { exit_code, signal: None, oom: false, evicted: false, abandoned: 0 })
    }

    fn gone(coordinator: bool, exit_code: i32) -> Event {
        let container = if coordinator { "coordinator" } else { "worker" }.to_owned();
        Event::Terminated { coordinator, container, exit_code, oom: None }
    }

    fn verdict_of(effects: &[Effect]) -> &Verdict {
        let found = effects.iter().find_map(|e| if let Effect::Finish(v) = e { Some(v) } else { None });
        found.unwrap_or_else(|| panic!("no verdict in {effects:?}"))
    }

    #[test]
    fn a_job_runs_from_begin_to_verdict() {
        let mut machine = Machine::default();
        assert_eq!(machine.on(Event::Begin), [Effect::Persist(JobStatus::Scheduling), Effect::CreateGroup]);
        let start = [Effect::Persist(JobStatus::Running), Effect::Arm(Timer::Job), Effect::StartRunner];
        assert_eq!(machine.on(Event::GroupReady), start);
        assert_eq!(machine.on(Event::StepStarted), []);
        assert_eq!(machine.on(ended(0)), [Effect::SettleSteps, Effect::Arm(Timer::Exit)]);
        let close = [Effect::Shutdown { exit_code: 0 }, Effect::Arm(Timer::Exit)];
        assert_eq!(machine.on(Event::StepsSettled), close);
        let end = machine.on(gone(true, 0));
        assert_eq!(verdict_of(&end).status, JobStatus::Success);
        assert_eq!(machine.on(Event::Cancel { force: true }), [], "the verdict stands");
    }

    #[test]
    fn a_vanished_coordinator_is_infra_not_success() {
        let end = running().on(gone(true, 0));
        let reason = verdict_of(&end).reason.clone().expect("a failure");
        assert_eq!(reason.kind, FailureKind::Infra);
    }

    #[test]
    fn containers_that_do_not_end_after_shutdown_give_no_success() {
        let mut machine = running();
        machine.on(ended(0));
        machine.on(Event::StepsSettled);
        let end = machine.on(Event::Deadline(Timer::Exit));
        assert_eq!(verdict_of(&end).reason.as_ref().expect("a failure").kind, FailureKind::Infra);
    }

    #[test]
    fn a_cancel_gives_the_danubefile_time_to_clean_up_once() {
        let mut machine = running();
        let first = machine.on(Event::Cancel { force: false });
        assert_eq!(first, [Effect::Interrupt(Interrupt::Cancel), Effect::Arm(Timer::Cleanup)]);
        assert_eq!(machine.on(Event::Deadline(Timer::Job)), [], "a later timeout changes nothing");
        assert_eq!(machine.on(Event::Deadline(Timer::Cleanup)), [Effect::StopRunner, Effect::Arm(Timer::Exit)]);
        machine.on(ended(137));
        machine.on(Event::StepsSettled);
        assert_eq!(verdict_of(&machine.on(gone(true, 137))).status, JobStatus::Cancelled);
    }

    fn died(was_ready: bool) -> Event {
        Event::ServiceDied { message: "the service `db` ended".into(), was_ready }
    }

    #[test]
    fn a_service_that_dies_interrupts_the_danubefile_and_fails_the_job() {
        let mut machine = running();
        assert_eq!(machine.on(died(true)), [Effect::Interrupt(Interrupt::Service), Effect::Arm(Timer::Cleanup)]);
        assert_eq!(machine.on(died(true)), [], "once is enough");
        assert_eq!(machine.on(Event::Deadline(Timer::Cleanup)), [Effect::StopRunner, Effect::Arm(Timer::Exit)]);
        machine.on(ended(1));
        machine.on(Event::StepsSettled);
        let end = machine.on(gone(true, 1));
        assert_eq!(verdict_of(&end).reason.as_ref().expect("a failure").kind, FailureKind::Service);
    }

    #[test]
    fn a_service_that_never_was_ready_is_told_by_its_call_alone() {
        let mut machine = running();
        assert_eq!(machine.on(died(false)), []);
        machine.on(ended(0));
        machine.on(Event::StepsSettled);
        let end = machine.on(gone(true, 0));
        assert_eq!(verdict_of(&end).reason.as_ref().expect("a failure").kind, FailureKind::Service);
    }

    #[test]
    fn a_service_that_dies_at_the_end_harms_nobody() {
        let mut machine = running();
        machine.on(ended(0));
        assert_eq!(machine.on(died(true)), []);
        machine.on(Event::StepsSettled);
        assert_eq!(verdict_of(&machine.on(gone(true, 0))).status, JobStatus::Success);
    }

    #[test]
    fn a_cancel_before_the_start_ends_the_job_at_once() {
        let mut machine = Machine::default();
        machine.on(Event::Begin);
        assert_eq!(verdict_of(&machine.on(Event::Cancel { force: false })).status, JobStatus::Cancelled);
    }

    #[test]
    fn a_cancel_after_the_end_changes_nothing() {
        let mut machine = running();
        machine.on(ended(0));
        assert_eq!(machine.on(Event::Cancel { force: false }), []);
        machine.on(Event::StepsSettled);
        assert_eq!(verdict_of(&machine.on(gone(true, 0))).status, JobStatus::Success);
    }

    #[test]
    fn a_worker_that_goes_away_at_the_end_is_no_loss() {
        let mut machine = running();
        machine.on(ended(1));
        machine.on(Event::StepsSettled);
        machine.on(gone(false, 0));
        let end = machine.on(gone(true, 1));
        assert_eq!(verdict_of(&end).reason.as_ref().expect("a failure").kind, FailureKind::Script);
    }

    /// Any order of any events: at most one verdict, and success only after both records.
    #[test]
    fn no_order_of_events_gives_success_without_both_records() {
        let events = [
            Event::Begin,
            Event::GroupReady,
            Event::StepStarted,
            ended(0),
            Event::StepsSettled,
            gone(false, 1),
            Event::Cancel { force: false },
            Event::Deadline(Timer::Job),
            Event::Deadline(Timer::Exit),
            Event::Distrust("x".into()),
            died(true),
            Event::GroupFailed(GroupFailure::Lost, "x".into()),
        ];
        let mut pending = vec![(Machine::default(), 0)];
        while let Some((machine, depth)) = pending.pop() {
            for event in &events {
                let mut next = machine.clone();
                let effects = next.on(event.clone());
                for effect in &effects {
                    let Effect::Finish(verdict) = effect else { continue };
                    assert_ne!(verdict.status, JobStatus::Success, "the runtime never said the coordinator ended");
                }
                if depth < 5 {
                    pending.push((next, depth + 1));
                }
            }
        }
    }
}
