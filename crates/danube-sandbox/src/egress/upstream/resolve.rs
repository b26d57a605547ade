//! Asks the host what a name's addresses are, and remembers the answer for a short while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout};

use super::system;

/// Threads that wait for the host's resolver at once.
const MAX_WAITING: usize = 8;
/// How long the host's resolver may take; the job's own resolver library waits a little longer (`RESOLV_CONF`).
const PATIENCE: Duration = Duration::from_secs(12);
/// Names that are remembered.
const MAX_REMEMBERED: usize = 1024;

/// Who knows the addresses of names.
#[derive(Clone, Debug)]
pub enum Resolver {
    /// The host: its `/etc/hosts`, its DNS, whatever it is set up to ask.
    System,
    /// These names only.
    Fixed(HashMap<String, Vec<IpAddr>>),
}

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    Found(Vec<IpAddr>),
    NoName,
    Failed,
}

type Remembered = (Instant, Arc<OnceCell<Lookup>>);

/// Answers of the resolver, each asked for once at a time.
#[derive(Debug)]
pub(super) struct Cache {
    resolver: Resolver,
    remembered: Mutex<HashMap<String, Remembered>>,
    threads: Arc<Semaphore>,
}

impl Lookup {
    /// How long an answer holds. Short: build machines live through deployments.
    fn lifetime(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Found(_) => 30,
            Self::NoName => 5,
            Self::Failed => 1,
        })
    }
}

impl Cache {
    pub(super) fn new(resolver: Resolver) -> Self {
        Self { resolver, remembered: Mutex::default(), threads: Arc::new(Semaphore::new(MAX_WAITING)) }
    }

    /// The name's addresses. Askers for the same name wait for the same answer.
    pub(super) async fn lookup(&self, name: &str) -> Lookup {
        let cell = self.cell(name, Instant::now());
        cell.get_or_init(|| self.ask(name)).await.clone()
    }

    fn cell(&self, name: &str, now: Instant) -> Arc<OnceCell<Lookup>> {
        let fresh = |(at, cell): &Remembered| cell.get().is_none_or(|found| now.duration_since(*at) < found.lifetime());
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = remembered.get(name).filter(|entry| fresh(entry)) {
            return entry.1.clone();
        }
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, entry| fresh(entry));
        }
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        let cell = Arc::<OnceCell<Lookup>>::default();
        remembered.insert(name.to_owned(), (now, cell.clone()));
        cell
    }

    async fn ask(&self, name: &str) -> Lookup {
        match &self.resolver {
            Resolver::Fixed(names) => names.get(name).cloned().map_or(Lookup::NoName, Lookup::Found),
            Resolver::System => {
                let asked = timeout(PATIENCE, self.ask_system(name.to_owned())).await;
                asked.unwrap_or(Lookup::Failed)
            }
        }
    }

    /// The permit goes with the thread, which cannot be stopped: who gives up waiting does not free it.
    async fn ask_system(&self, name: String) -> Lookup {
        let Ok(permit) = self.threads.clone().acquire_owned().await else { return Lookup::Failed };
        let asked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            system::addresses(&name)
        });
        asked.await.unwrap_or(Lookup::Failed)
    }
}

#[cfg(test)]
impl Cache {
    pub(super) fn rebind(&mut self, resolver: Resolver) {
        self.resolver = resolver;
    }

    pub(super) fn expire(&self) {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> Cache {
        let names = [("a.example".to_owned(), vec![IpAddr::from([192, 0, 2, 1])])];
        Cache::new(Resolver::Fixed(names.into()))
    }

    #[tokio::test]
    async fn an_answer_is_asked_for_again_when_its_time_is_over() {
        let (cache, start) = (cache(), Instant::now());
        assert_eq!(cache.lookup("b.example").await, Lookup::NoName);
        assert!(matches!(cache.lookup("a.example").await, Lookup::Found(_)));
        let first = cache.cell("a.example", start + Duration::from_secs(29));
        assert!(first.get().is_some());
        let second = cache.cell("a.example", start + Duration::from_secs(31));
        assert!(second.get().is_none());
    }

    #[tokio::test]
    async fn a_flood_of_names_does_not_fill_the_memory() {
        let cache = cache();
        for number in 0..5000 {
            cache.lookup(&format!("{number}.example")).await;
        }
        assert!(cache.remembered.lock().unwrap().len() <= MAX_REMEMBERED);
    }

    #[tokio::test]
    async fn the_hosts_own_names_are_found() {
        let cache = Cache::new(Resolver::System);
        let Lookup::Found(addresses) = cache.lookup("localhost").await else { panic!("localhost has no address") };
        assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
        assert_eq!(cache.lookup("10.0.0.1").await, Lookup::Found(vec![[10, 0, 0, 1].into()]), "proxies by address");
    }
}
