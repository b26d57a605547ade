//! Images for containers: found (in a registry: [`pull`]), unpacked once by the keeper's hands, and what they say of themselves.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use danube_core::runtime::{ContainerSpec, ImageSource};
use tokio::runtime::Handle;

use super::pull;
use super::serve::Group;
use crate::error::SandboxError;
use crate::images::{
    self, Digest, Hands, ImageError, ImageKey, ImageStore, Limits, ResolvedImage, StoredImage, Unpacked,
};
use crate::keeper::unpack::ownership;
use crate::keeper::wire::{Order, Reply};
use crate::plan::Root;
use crate::plan::outfit::Base;

/// An image ready for a container. The lock keeps it from being removed.
pub struct Ready {
    /// What the container's plan starts from.
    pub base: Base,
    /// Held as long as the container lives.
    pub lock: OwnedFd,
}

/// Finds the container's image, unpacks it if that has not been done yet, and reads its settings.
pub async fn ready(group: &Arc<Group>, spec: &ContainerSpec) -> Result<Ready, SandboxError> {
    let image = spec.image.to_string();
    let (group, spec, handle) = (group.clone(), spec.clone(), Handle::current());
    let found = tokio::task::spawn_blocking(move || find(&group, &spec, handle)).await;
    let words = match found {
        Ok(Ok(ready)) => return Ok(ready),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic.to_string(),
    };
    Err(SandboxError::Image(format!("the image `{image}` cannot be used: {words}")))
}

fn find(group: &Arc<Group>, spec: &ContainerSpec, handle: Handle) -> Result<Ready, ImageError> {
    let limits = Limits::from_env()?;
    let mut hands = KeepersHands { group, spec, handle };
    let stored = match &spec.image {
        ImageSource::Reference(text) => pull::stored(group, &text.parse()?, &limits, &mut hands)?,
        local => {
            let image = images::resolve(local, &limits)?;
            store(group)?.ensure(&key(group, &image.digest), &image, &mut hands)?
        }
    };
    let rootfs = group.assignment.config.image_dir.join(stored.key.as_str()).join("rootfs");
    base(group, spec, stored, rootfs)
}

pub fn store(group: &Group) -> Result<ImageStore, ImageError> {
    ImageStore::open(&group.assignment.config.image_dir)
}

pub fn key(group: &Group, digest: &Digest) -> ImageKey {
    ImageKey::new(digest, ownership(&group.ground.ids), group.ground.ids.first())
}

fn base(group: &Group, spec: &ContainerSpec, stored: StoredImage, lower: PathBuf) -> Result<Ready, ImageError> {
    let user = images::find_user(stored.rootfs.as_fd(), stored.config.user.as_deref())?;
    let folder = group.folder.container(&spec.name);
    let program = stored.config.program();
    let base = Base {
        root: Root::Overlay { lower, upper: folder.upper(), work: folder.work() },
        user: (user.uid, user.gid),
        groups: user.groups,
        home: user.home.into(),
        env: stored.config.env,
        program,
        nodes: Vec::new(),
        binds: Vec::new(),
    };
    Ok(Ready { base, lock: stored.lock })
}

/// The keeper does what this process has no right to: write files of a tenant's ids.
pub struct KeepersHands<'a> {
    pub group: &'a Arc<Group>,
    pub spec: &'a ContainerSpec,
    handle: Handle,
}

impl KeepersHands<'_> {
    fn ask(&self, order: &Order, root: BorrowedFd<'_>) -> images::Result<Reply> {
        let asked = self.handle.block_on(async {
            let Some(keeper) = &self.group.ground.keeper else {
                return Err(SandboxError::Config("images need namespaces; `--isolation none` runs `host` only".into()));
            };
            let said = |done, total| self.tell(done, total);
            keeper.ask_long(order, &[root], said).await
        });
        let failed = |error: SandboxError| ImageError::Store {
            action: "unpack",
            path: "the image".into(),
            source: std::io::Error::other(error.to_string()),
        };
        asked.map_err(failed)
    }

    fn tell(&self, done: u64, total: u64) {
        let percent = (done.saturating_mul(100)).checked_div(total).unwrap_or(100);
        self.group.tell_waiting(&self.spec.name, format!("unpacking the image: {percent} %"));
    }
}

impl Hands for KeepersHands<'_> {
    fn unpack(&mut self, image: &ResolvedImage, root: BorrowedFd<'_>) -> images::Result<Unpacked> {
        match self.ask(&Order::Unpack(Box::new(image.clone())), root)? {
            Reply::Unpacked(unpacked) => Ok(unpacked),
            _ => Ok(Unpacked::default()),
        }
    }

    fn clear(&mut self, root: BorrowedFd<'_>) -> images::Result<()> {
        self.ask(&Order::Clear, root).map(drop)
    }
}
