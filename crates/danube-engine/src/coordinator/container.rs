//! The container for a step's image. One whose image was computed at run time is added while the job runs: its name is
//! written down first, so that an engine that takes over asks the runtime for the same one.

use std::sync::Arc;

use danube_core::id::ContainerName;
use danube_core::runtime::{ContainerSpec, ContainerState, GroupFailure, Runtime, RuntimeError};
use danube_proto::mailbox::{CallError, ErrorCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::infra;
use crate::failpoint::failpoint;
use crate::job::effects::link;
use crate::job::progress::Progress;
use crate::job::shared::{NoContainer, Shared};
use crate::records;
use crate::shim::link::Link;

/// The container for an image, made now if there is none.
pub async fn of_image<R>(shared: &Arc<Shared<R>>, image: &str) -> Result<(ContainerName, Link), CallError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    loop {
        match shared.container(image) {
            // Another step makes it at this moment; should that fail, this step tries for itself.
            Ok(name) => match shared.link_when_there(&name).await {
                Some(link) => return Ok((name, link)),
                None => continue,
            },
            Err(NoContainer::Make(spec)) => {
                write_down(shared, image, &spec).await?;
                return add(shared, image, *spec).await;
            }
            Err(NoContainer::Full) => return Err(full(image)),
        }
    }
}

/// Finds a container again that an earlier engine added, or was about to.
pub async fn adopt<R>(shared: Arc<Shared<R>>, image: String, spec: ContainerSpec)
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    if let Err(error) = add(&shared, &image, spec).await {
        tracing::debug!(%image, ?error, "not added again");
    }
}

async fn write_down<R: Runtime>(shared: &Shared<R>, image: &str, spec: &ContainerSpec) -> Result<(), CallError> {
    let written = records::container_added(shared, image, spec).await;
    failpoint("container-written");
    written.map_err(|error| {
        shared.forget_container(image);
        infra(error)
    })
}

async fn add<R>(shared: &Arc<Shared<R>>, image: &str, spec: ContainerSpec) -> Result<(ContainerName, Link), CallError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let added = shared.services.runtime.add(&shared.plan.group.attempt, &spec).await;
    failpoint("container-added");
    if let Err(error) = added {
        shared.forget_container(image);
        // Nobody is to be shown any longer that it is being made.
        let gone = ContainerState::Terminated { exit_code: 0, signal: None, oom: None };
        shared.observer.tell(Progress::Container(spec.name, gone));
        return Err(unavailable(image, &error));
    }
    link(shared, spec.name.clone());
    let link = shared.link(&spec.name).ok_or_else(|| infra("its container is gone"))?;
    Ok((spec.name, link))
}

fn unavailable(image: &str, error: &RuntimeError) -> CallError {
    let message = format!("`{image}`: {error}");
    match error {
        RuntimeError::Refused { kind: GroupFailure::Image | GroupFailure::Config, .. } => {
            CallError { code: ErrorCode::ImageUnavailable, message }
        }
        _ => infra(message),
    }
}

fn full(image: &str) -> CallError {
    let message = format!(
        "`{image}` is the ninth image that was computed at run time: name it in @pipeline(images=[…]), so that it \
         starts with the job"
    );
    CallError { code: ErrorCode::ImageUnavailable, message }
}
