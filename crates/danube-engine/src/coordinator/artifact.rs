//! One `artifacts.upload`: the file is read from a worker's shim, hashed as it arrives, made durable, and then has its
//! row. The danubefile only says which file: nothing that it, or a step, says about the content counts.
//!
//! One `artifacts.download`: the kept bytes go back to the worker's shim under the recorded hash.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use danube_core::artifact::ArtifactName;
use danube_core::id::StepId;
use danube_core::runtime::Runtime;
use danube_proto::mailbox::{Answer, ArtifactDownload, ArtifactUpload, CallError, ErrorCode};
use danube_proto::v1::{PutFileHeader, PutTarget};
use danube_store::Durability;
use danube_store::artifacts::{self, ArtifactRow, Caps, Inserted, NewArtifact};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{container, infra, invalid, refused, workspace};
use crate::artifacts::sync;
use crate::failpoint::failpoint;
use crate::job::progress::Progress;
use crate::job::shared::Shared;
use crate::records;
use crate::shim::link::Link;
use crate::shim::transfer::Fetched;

/// The largest artifact, in bytes.
const LARGEST: u64 = 4 << 30;
/// Modes are not kept: whoever is in the job may read and change what was put there.
const MODE: u32 = 0o664;
/// What an attempt may keep: more is a cache, or a mistake.
const CAPS: Caps = Caps { count: 10_000, bytes: 16 << 30 };

/// Keeps a file of the workspace. Delivered again after a restart, it answers what is kept already.
pub async fn upload<R>(shared: &Arc<Shared<R>>, id: StepId, upload: &ArtifactUpload) -> Result<Answer, CallError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    if let Some(closed) = shared.closed() {
        return Err(refused(closed));
    }
    let attempt = &shared.plan.group.attempt;
    if let Some(row) = artifacts::of_call(shared.services.store.read(), attempt, id).await.map_err(infra)? {
        return Ok(answer(&row));
    }
    let name: ArtifactName = named(shared, &upload.name)?;
    let below = workspace::below(&upload.path)?;
    let (_, link) = container::of_image(shared, &shared.plan.default_image).await?;
    let (file, path) = shared.services.artifacts.begin(attempt, id).map_err(infra)?;
    let kept = keep(shared, &link, &below, (&file, &path), (name, id)).await;
    if kept.is_err() {
        // Without its row nobody would ever find it.
        let _ = std::fs::remove_file(&path);
    }
    kept
}

/// Puts a kept file of this attempt into the workspace. Delivered again after a restart, nothing is written twice: the
/// shim knows the call's transfer.
pub async fn download<R>(shared: &Arc<Shared<R>>, id: StepId, wanted: &ArtifactDownload) -> Result<Answer, CallError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    if let Some(closed) = shared.closed() {
        return Err(refused(closed));
    }
    let attempt = &shared.plan.group.attempt;
    let name = named(shared, &wanted.name)?;
    let below = workspace::below(&wanted.path)?;
    let found = artifacts::get(shared.services.store.read(), attempt, &name).await.map_err(infra)?;
    let row = found.ok_or_else(|| missing(&name))?;
    let file = whole(&shared.services.artifacts.path(attempt, &row), &row)?;
    let (_, link) = container::of_image(shared, &shared.plan.default_image).await?;
    let header = PutFileHeader {
        transfer_id: format!("artifact-{id}"),
        target: PutTarget::File.into(),
        path: workspace::path(&below),
        size: u64::try_from(row.size).unwrap_or(0),
        sha256: Bytes::copy_from_slice(&row.sha256),
        mode: MODE,
    };
    workspace::put(&link, header, &below, &file).await?;
    failpoint("artifact-placed");
    Ok(answer(&row))
}

fn missing(name: &ArtifactName) -> CallError {
    let message = format!(
        "the job keeps no artifact `{name}`: upload it first with artifacts.upload, or look at what that returned"
    );
    CallError { code: ErrorCode::ArtifactNotFound, message }
}

/// The file of a row, which has as many bytes as that says.
fn whole(path: &Path, row: &ArtifactRow) -> Result<File, CallError> {
    let file =
        File::open(path).map_err(|error| infra(format!("the artifact `{}` cannot be read: {error}", row.name)))?;
    let bytes = file.metadata().map_err(infra)?.len();
    if i64::try_from(bytes) == Ok(row.size) {
        return Ok(file);
    }
    let (name, wanted) = (&row.name, row.size);
    Err(infra(format!("the artifact `{name}` has {bytes} bytes on the master's disk, not the {wanted} that were kept")))
}

/// Secrets are masked in names too: names are shown.
fn named<R: Runtime>(shared: &Shared<R>, name: &str) -> Result<ArtifactName, CallError> {
    shared.mask(name).parse().map_err(|error| invalid(format!("the artifact {name:?}: {error}")))
}

async fn keep<R: Runtime>(
    shared: &Shared<R>,
    link: &Link,
    below: &ArtifactName,
    (file, path): (&File, &Path),
    (name, call): (ArtifactName, StepId),
) -> Result<Answer, CallError> {
    let fetched = workspace::fetch(link, below, LARGEST, ErrorCode::ArtifactNotFound, file).await?;
    let Fetched { size, sha256 } = fetched;
    if shared.services.store.durability() == Durability::PowerCut {
        let (file, path): (File, PathBuf) = (file.try_clone().map_err(infra)?, path.to_owned());
        tokio::task::spawn_blocking(move || sync(&file, &path)).await.map_err(infra)?.map_err(infra)?;
    }
    failpoint("artifact-received");
    let artifact = NewArtifact { name, call, size, sha256, created_ms: records::now_ms() };
    write_row(shared, artifact).await
}

async fn write_row<R: Runtime>(shared: &Shared<R>, artifact: NewArtifact) -> Result<Answer, CallError> {
    let (attempt, new) = (shared.plan.group.attempt.clone(), artifact.clone());
    let insert = shared
        .services
        .store
        .write(move |tx| Box::pin(async move { artifacts::insert(tx, &attempt, &new, CAPS).await }));
    match insert.await.map_err(infra)? {
        Inserted::Kept => {}
        Inserted::Taken(name) if name == artifact.name.as_str() => {
            return Err(invalid(format!("the artifact `{name}` exists already: upload each name once")));
        }
        Inserted::Taken(name) => {
            return Err(invalid(format!(
                "the artifacts `{}` and `{name}` cannot both exist: one is a folder of the other",
                artifact.name
            )));
        }
        Inserted::Full => return Err(full()),
    }
    failpoint("artifact-kept");
    let row = ArtifactRow {
        name: artifact.name.to_string(),
        call: artifact.call.to_string(),
        size: i64::try_from(artifact.size).unwrap_or(i64::MAX),
        sha256: artifact.sha256.to_vec(),
        created_ms: artifact.created_ms,
    };
    shared.observer.tell(Progress::Artifact(row.clone()));
    Ok(answer(&row))
}

fn answer(row: &ArtifactRow) -> Answer {
    let sha256 = row.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    Answer::Artifact { name: row.name.clone(), size: u64::try_from(row.size).unwrap_or(0), sha256 }
}

fn full() -> CallError {
    let (count, gib) = (CAPS.count, CAPS.bytes >> 30);
    invalid(format!("a job keeps at most {count} artifacts and {gib} GiB: upload an archive, or less"))
}
