//! The container for a step's image, or for a service. One whose image was computed at run time is added while the job runs: its name is
//! written down first, so that an engine that takes over asks the runtime for the same one.

use std::sync::Arc;

use danube_core::id::ContainerName;
use danube_core::runtime::{ContainerSpec, ContainerState, GroupFailure, Runtime, RuntimeError};
use danube_proto::mailbox::{CallError, ErrorCode};
use tokio::io::{AsyncRead, AsyncWrite};

use super::infra;
use crate::failpoint::failpoint;
use crate::job::effects::link;
use crate::job::isolation;
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
                return match made(shared, image, image, &spec).await {
                    Ok(link) => Ok((spec.name, link)),
                    Err(error) => {
                        shared.forget_container(image);
                        Err(error)
                    }
                };
            }
            Err(NoContainer::Full) => return Err(full(image)),
        }
    }
}

/// A container for one service, made now if none was made for its image with the job.
pub async fn of_service<R>(
    shared: &Arc<Shared<R>>,
    image: &str,
    memory: Option<u64>,
) -> Result<(ContainerName, Link), CallError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let spec = match shared.service_container(image, memory) {
        Ok(name) => {
            let link = shared.link_when_there(&name).await.ok_or_else(|| infra("its container could not be made"))?;
            return Ok((name, link));
        }
        Err(NoContainer::Make(spec)) => spec,
        Err(NoContainer::Full) => return Err(full_of_services(image)),
    };
    match made(shared, image, &shared.written_place(image, &spec), &spec).await {
        Ok(link) => Ok((spec.name, link)),
        Err(error) => {
            shared.forget_service_container(&spec.name);
            Err(error)
        }
    }
}

/// Finds a container again that an earlier engine added, or was about to.
pub async fn adopt<R>(shared: Arc<Shared<R>>, image: String, spec: ContainerSpec)
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    if let Err(error) = add(&shared, &image, &spec).await {
        shared.forget_container(&image);
        tracing::debug!(%image, ?error, "not added again");
    }
}

/// The same for a service's.
pub async fn adopt_for_service<R>(shared: Arc<Shared<R>>, spec: ContainerSpec)
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    if let Err(error) = add(&shared, &spec.image.to_string(), &spec).await {
        shared.forget_service_container(&spec.name);
        tracing::debug!(container = %spec.name, ?error, "not added again");
    }
}

/// Written down before it is made; `place` is what is written.
async fn made<R>(shared: &Arc<Shared<R>>, image: &str, place: &str, spec: &ContainerSpec) -> Result<Link, CallError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let written = records::container_added(shared, place, spec).await;
    failpoint("container-written");
    written.map_err(infra)?;
    add(shared, image, spec).await
}

async fn add<R>(shared: &Arc<Shared<R>>, image: &str, spec: &ContainerSpec) -> Result<Link, CallError>
where
    R: Runtime,
    R::Stream: AsyncRead + AsyncWrite,
{
    let added = shared.services.runtime.add(&shared.plan.group.attempt, spec).await;
    failpoint("container-added");
    if let Err(error) = added {
        // Nobody is to be shown any longer that it is being made.
        let gone = ContainerState::Terminated { exit_code: 0, signal: None, oom: None };
        shared.observer.tell(Progress::Container(spec.name.clone(), gone));
        return Err(unavailable(image, &error));
    }
    link(shared, spec.name.clone());
    let made = shared.link(&spec.name).ok_or_else(|| infra("its container is gone"))?;
    isolation::of_container(shared, &made, spec.name.as_str(), spec.role).await.map_err(infra)?;
    Ok(made)
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

fn full_of_services(image: &str) -> CallError {
    let message = format!(
        "`{image}` needs the ninth container that is made at run time: start it by a service.start(\"{image}\") of its \
         own with the image as a literal, so that its container starts with the job"
    );
    CallError { code: ErrorCode::ImageUnavailable, message }
}

fn full(image: &str) -> CallError {
    let message = format!(
        "`{image}` is the ninth image that was computed at run time: name it in @pipeline(images=[…]), so that it \
         starts with the job"
    );
    CallError { code: ErrorCode::ImageUnavailable, message }
}
