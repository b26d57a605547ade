//! The real engine with shims that lie (docs/protocol.md §5): a lie ends as `infra`, or does no harm and the result is
//! right; never is it believed.

mod world;

use std::sync::Arc;

use bytes::Bytes;
use danube_core::job::{FailureKind, JobStatus};
use danube_engine::EngineError;
use danube_proto::v1::attach_reply::Of;
use danube_proto::v1::coordinate_request::Of as Mail;
use danube_proto::v1::{AttachReply, CoordinateRequest, GetFileReply, InfoReply};
use danube_testutils::{Hello, Random, Script, StepScript, call_id, chunk, end, honest, seed, sha256};
use world::{Ran, World};

const LINE: &[u8] = b"a line of output that several chunks are cut from\n";

fn step() -> StepScript {
    StepScript { output: LINE.repeat(100), ..StepScript::default() }
}

fn telling(lie: impl Fn(usize, u64, Vec<AttachReply>) -> Vec<AttachReply> + Send + Sync + 'static) -> Script {
    Script { tells: Some(Arc::new(lie)), ..Script::of(&[step()]) }
}

#[tokio::test]
async fn a_step_that_an_attach_never_tells_of_is_attached_to_again() {
    let script = Script { silent_attaches: 2, ..Script::of(&[step()]) };
    let verdict = World::run_without_waiting(script).await;
    assert_eq!(verdict.status, JobStatus::Success, "{:?}", verdict.reason);
}

fn chunk_at(replies: &mut [AttachReply], n: usize) -> &mut danube_proto::v1::Chunk {
    match replies[n].of.as_mut() {
        Some(Of::Chunk(chunk)) => chunk,
        other => panic!("no chunk: {other:?}"),
    }
}

fn end_of(replies: &mut [AttachReply]) -> &mut danube_proto::v1::End {
    match replies.last_mut().and_then(|reply| reply.of.as_mut()) {
        Some(Of::End(end)) => end,
        other => panic!("no end: {other:?}"),
    }
}

/// The job failed for Danube's sake, not the danubefile's.
fn assert_infra(name: &str, ran: &Ran) {
    let reason = ran.verdict.reason.as_ref().unwrap_or_else(|| panic!("{name}: the lie became a success"));
    assert_eq!(reason.kind, FailureKind::Infra, "{name}: {reason:?}");
    ran.assert_nothing_outside(name);
}

/// The lie did no harm: the job is as if nobody had lied.
fn assert_right(name: &str, ran: &Ran) {
    assert_eq!(ran.verdict.status, JobStatus::Success, "{name}: {:?}", ran.verdict.reason);
    assert_eq!(ran.log(1), step().output, "{name}");
    ran.assert_nothing_outside(name);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_shim_is_believed() {
    assert_right("honest", &World::run(Script::of(&[step()])).await);
    let silent = World::run(Script::of(&[StepScript::default()])).await;
    assert_eq!((silent.verdict.status, silent.log(1)), (JobStatus::Success, Vec::new()));
    let failing = World::run(Script::of(&[StepScript { exit_code: 3, ..step() }])).await;
    assert_eq!(failing.verdict.reason.expect("a reason").kind, FailureKind::Script);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_about_output_that_goes_on_is_infra() {
    type Lie = fn(&mut Vec<AttachReply>);
    let lies: [(&str, Lie); 14] = [
        ("a chunk too far on", |told| chunk_at(told, 1).offset += 1),
        ("a chunk again", |told| told.insert(1, told[0].clone())),
        ("a chunk left out", |told| drop(told.remove(1))),
        ("chunks that overlap", |told| chunk_at(told, 1).offset -= 500),
        ("an empty chunk", |told| chunk_at(told, 1).data = Bytes::new()),
        ("a chunk over 64 KiB", |told| chunk_at(told, 1).data = vec![b'x'; 64 * 1024 + 1].into()),
        ("a chunk of stream 0", |told| chunk_at(told, 1).stream = 0),
        ("a chunk of stream 3", |told| chunk_at(told, 1).stream = 3),
        ("an offset at the end of numbers", |told| chunk_at(told, 1).offset = u64::MAX),
        ("an empty reply", |told| told.insert(1, AttachReply::default())),
        ("an end with too many bytes", |told| end_of(told).bytes += 1),
        ("an end with another hash", |told| end_of(told).sha256 = sha256(b"something else")),
        ("an end without a hash", |told| end_of(told).sha256 = Bytes::new()),
        ("output that was changed", |told| chunk_at(told, 1).data = vec![b'!'; 1000].into()),
    ];
    for (name, lie) in lies {
        let script = telling(move |_, _, mut told| {
            // Where the engine attaches again after a strike, too little may be left to lie about.
            if told.len() > 3 {
                lie(&mut told);
            } else {
                end_of(&mut told).bytes += 1;
            }
            told
        });
        assert_infra(name, &World::run(script).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_told_once_is_asked_again() {
    let script = telling(|nth, _, mut told| {
        if nth == 0 {
            chunk_at(&mut told, 2).offset += 7;
        }
        told
    });
    assert_right("one wrong offset", &World::run(script).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_the_end_is_not_read() {
    let twice = telling(|_, _, mut told| {
        told.push(end(b"other", 9));
        told
    });
    assert_right("End twice", &World::run(twice).await);
    let more = telling(|_, offset, mut told| {
        told.extend((0..1000).map(|n| chunk(offset + 5000 + n, b"late")));
        told
    });
    assert_right("output after End", &World::run(more).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_figures_are_shown_and_decide_nothing() {
    let script = telling(|_, _, mut told| {
        let end = end_of(&mut told);
        (end.user_us, end.max_rss_bytes, end.started_ms, end.duration_ms) = (u64::MAX, u64::MAX, u64::MAX, u64::MAX);
        end.killed_processes = u32::MAX;
        for reply in &mut told {
            if let Some(Of::Chunk(chunk)) = &mut reply.of {
                (chunk.at_ms, chunk.seq) = (u64::MAX, u64::MAX);
            }
        }
        told
    });
    assert_right("huge figures", &World::run(script).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_limit_is_a_lost_connection() {
    let script = Script {
        worker_ends_after: Some(4),
        ..telling(|_, _, mut told| {
            end_of(&mut told).stdout = vec![b'x'; 8 * 1024 * 1024].into();
            told
        })
    };
    let ran = World::run(script).await;
    assert_ne!(ran.verdict.status, JobStatus::Success);
    ran.assert_nothing_outside("a message over the limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shim_that_is_not_ours_is_infra() {
    for hello in [Hello::OtherNonce, Hello::OldProtocol] {
        let worker = Script { worker_hello: hello, ..Script::of(&[step()]) };
        assert_infra(&format!("worker {hello:?}"), &World::run(worker).await);
        let coordinator = Script { coordinator_hello: hello, ..Script::of(&[step()]) };
        assert_infra(&format!("coordinator {hello:?}"), &World::run(coordinator).await);
    }
}

/// It may lie about that, too: then the job has no end, and its containers go when no master comes any more.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_master_has_taken_over_is_left_to_it() {
    let worker = Script { worker_hello: Hello::Fenced, ..Script::of(&[step()]) };
    let coordinator = Script { coordinator_hello: Hello::Fenced, ..Script::of(&[step()]) };
    for script in [worker, coordinator] {
        let left = World::left(script).await;
        assert!(matches!(left.error, EngineError::Fenced(_)), "{}", left.error);
        assert!(left.error.to_string().contains("another Danube has taken over this job"), "{}", left.error);
        assert!(left.group_stands, "the group is the other master's");
        assert_eq!((left.verdict, left.ended_steps), (None, 0), "so are its rows");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_garbage_lasts_until_the_container_is_gone() {
    let script = Script { worker_hello: Hello::Garbage, worker_ends_after: Some(5), ..Script::of(&[step()]) };
    let ran = World::run(script).await;
    let reason = ran.verdict.reason.clone().expect("no success");
    assert_eq!(reason.kind, FailureKind::WorkerLost, "{reason:?}");
    ran.assert_nothing_outside("garbage");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runtime_has_a_say_in_the_verdict() {
    let script = Script { coordinator_exit: Some(137), ..Script::of(&[step()]) };
    assert_infra("another exit than the shim recorded", &World::run(script).await);
    let claims = Script {
        runner_tells: Some(Arc::new(|_, _, _| honest(b"", 0, 0))),
        coordinator_exit: Some(1),
        ..Script::of(&[StepScript { exit_code: 1, ..step() }])
    };
    assert_infra("a danubefile that failed and is told of as a success", &World::run(claims).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_about_the_danubefile_s_own_output_are_infra() {
    let lie = |_: usize, _: u64, mut told: Vec<AttachReply>| {
        end_of(&mut told).bytes = 7;
        told
    };
    let script = Script { runner_tells: Some(Arc::new(lie)), ..Script::of(&[step()]) };
    assert_infra("the danubefile's output", &World::run(script).await);
}

fn mail(id: &[u8], of: Mail) -> CoordinateRequest {
    CoordinateRequest { call_id: Bytes::copy_from_slice(id), of: Some(of) }
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_mail_does_no_harm() {
    type Lie = fn(Vec<CoordinateRequest>) -> Vec<CoordinateRequest>;
    let lies: [(&str, Lie); 6] = [
        ("answers to calls nobody made", |mut mails| {
            (0..5000_u32).for_each(|n| mails.push(mail(&[n.to_le_bytes(); 4].concat(), Mail::Answered(true))));
            mails
        }),
        ("calls that are gone and were never there", |mut mails| {
            (0..5000_u32).for_each(|n| mails.push(mail(&[n.to_le_bytes(); 4].concat(), Mail::Gone(true))));
            mails
        }),
        ("every call ten times", |mails| (0..10).flat_map(|_| mails.clone()).collect()),
        ("a call that is not JSON", |mut mails| {
            mails.push(mail(&[0xee; 16], Mail::Call(Bytes::from_static(b"{\xff"))));
            mails
        }),
        ("a method nobody knows", |mut mails| {
            let line = br#"{"v":1,"id":"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee","method":"job.succeed","params":{}}"#;
            mails.push(mail(&[0xee; 16], Mail::Call(Bytes::from_static(line))));
            mails
        }),
        ("a secret the job does not have", |mut mails| {
            let line =
                br#"{"v":1,"id":"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee","method":"secrets.get","params":{"name":"A"}}"#;
            mails.push(mail(&[0xee; 16], Mail::Call(Bytes::from_static(line))));
            mails
        }),
    ];
    for (name, lie) in lies {
        let script = Script { mails: Some(Arc::new(lie)), ..Script::of(&[step()]) };
        let ran = World::run(script).await;
        assert_right(name, &ran);
        assert!(ran.starts.iter().all(|(_, count)| *count == 1), "{name}: {:?}", ran.starts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_that_breaks_its_rules_is_infra() {
    type Lie = fn(Vec<CoordinateRequest>) -> Vec<CoordinateRequest>;
    let lies: [(&str, Lie); 4] = [
        ("an id of another length", |_| vec![mail(b"short", Mail::Gone(true))]),
        ("an empty request", |_| vec![CoordinateRequest { call_id: vec![1; 16].into(), of: None }]),
        ("a call over 1 MiB", |_| vec![mail(&[0xee; 16], Mail::Call(vec![b' '; 1024 * 1024 + 1].into()))]),
        ("more calls than may wait", |_| {
            let call = |n: u32| mail(&[n.to_le_bytes(); 4].concat(), Mail::Call(Bytes::from_static(b"{}")));
            (0..2000).map(call).collect()
        }),
    ];
    for (name, lie) in lies {
        let script = Script { mails: Some(Arc::new(lie)), ..Script::of(&[step()]) };
        assert_infra(name, &World::run(script).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_script_arrives_whole() {
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let ran = World::run(Script::of(&[StepScript { script_file: Some(content.clone()), ..step() }])).await;
    assert_right("a large script", &ran);
    assert!(ran.received.iter().any(|(id, got)| id.starts_with("script-") && *got == content));
}

/// The step is refused; the danubefile, which asked for it, fails; nothing is believed.
#[tokio::test(flavor = "multi_thread")]
async fn a_lie_about_a_file_fails_the_step() {
    type Files = fn(Bytes, u64) -> Box<dyn Iterator<Item = GetFileReply> + Send>;
    let lies: [(&str, Files); 5] = [
        ("a file without end", |_, at| {
            let data = Bytes::from(vec![b'x'; 64 * 1024]);
            let one =
                move |n: u64| GetFileReply { offset: at + n * 65536, data: data.clone(), ..GetFileReply::default() };
            Box::new((0..).map(one))
        }),
        ("another hash", |content, at| {
            let hash = sha256(b"other");
            Box::new(std::iter::once(GetFileReply { offset: at, data: content, sha256: hash, last: true, size: 1 }))
        }),
        ("an immense size", |_, at| {
            Box::new(std::iter::once(GetFileReply { offset: at, size: u64::MAX, ..GetFileReply::default() }))
        }),
        ("a gap", |content, at| {
            let hash = sha256(&content);
            Box::new(std::iter::once(GetFileReply { offset: at + 1, data: content, sha256: hash, last: true, size: 1 }))
        }),
        ("a part over 64 KiB", |_, at| {
            let data = Bytes::from(vec![b'x'; 64 * 1024 + 1]);
            Box::new(std::iter::once(GetFileReply { offset: at, data, last: true, ..GetFileReply::default() }))
        }),
    ];
    for (name, lie) in lies {
        let step = StepScript { script_file: Some(b"true".to_vec()), ..step() };
        let ran = World::run(Script { files: Some(Arc::new(lie)), ..Script::of(&[step]) }).await;
        assert_ne!(ran.verdict.status, JobStatus::Success, "{name}");
        assert!(ran.starts.iter().all(|(id, _)| *id != call_id(&"ab".repeat(16), 0)), "{name}: the step was started");
        ran.assert_nothing_outside(name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_about_the_container_do_no_harm() {
    let info = InfoReply {
        nonce: "x".repeat(100_000),
        role: "master".to_owned(),
        shells: vec!["\u{1b}[31m".to_owned(); 10_000],
        user: "0:0".to_owned(),
        ..InfoReply::default()
    };
    assert_right("Info", &World::run(Script { info, ..Script::of(&[step()]) }).await);
}

/// What a random liar does with honest replies.
fn muddled(mut told: Vec<AttachReply>, random: &mut Random) -> Vec<AttachReply> {
    for _ in 0..=random.below(3) {
        let at = random.below(told.len());
        match random.below(7) {
            0 => drop(told.remove(at)),
            1 => told.insert(at, told[at].clone()),
            2 => {
                let other = random.below(told.len());
                told.swap(at, other);
            }
            3 => told.truncate(at),
            4 => told.insert(at, chunk(random.next_number(), b"noise")),
            5 => told.insert(at, end(b"noise", 0)),
            _ => {
                if let Some(Of::Chunk(chunk)) = &mut told[at].of {
                    chunk.data = vec![b'?'; random.below(70_000)].into();
                }
            }
        }
        if told.is_empty() {
            break;
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn random_lies_are_never_believed() {
    let seed = seed();
    for round in 0..200 {
        let random = std::sync::Mutex::new(Random(seed.wrapping_add(round)));
        let script = Script {
            // A liar who only ever hangs up is ended by the runtime.
            worker_ends_after: Some(20),
            ..telling(move |_, _, told| muddled(told, &mut random.lock().expect("whole")))
        };
        let ran = World::run(script).await;
        if ran.verdict.status == JobStatus::Success {
            assert_eq!(ran.log(1), step().output, "seed {seed} round {round}");
        } else {
            let kind = ran.verdict.reason.as_ref().map(|reason| reason.kind);
            let known = [Some(FailureKind::Infra), Some(FailureKind::WorkerLost)];
            assert!(known.contains(&kind), "seed {seed} round {round}: {:?}", ran.verdict);
        }
        ran.assert_nothing_outside("a random lie");
    }
}
