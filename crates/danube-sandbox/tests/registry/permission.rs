//! A registry that wants to know who asks.

use crate::server::{Answer, Asked, Server};
use crate::world::{Shelf, World};

/// `me:hunter2`, as Docker writes it down.
const PAIR: &str = "bWU6aHVudGVyMg==";

fn says(asked: &Asked, secret: &str) -> bool {
    asked.header("authorization") == Some(secret)
}

/// Gives tokens to whom it knows, images for tokens, and blobs from another host to anybody.
fn guarded() -> Server {
    let shelf = Shelf::usual();
    let layer = shelf.layers()[0].clone();
    Server::start(move |asked| {
        let host = asked.header("host").unwrap();
        if asked.path.starts_with("/token") {
            let known = says(asked, &format!("Basic {PAIR}"));
            return if known { Answer::of(200, r#"{"token":"t0ken"}"#) } else { Answer::of(401, "") };
        }
        if asked.path.starts_with("/elsewhere/") {
            return shelf.answer(asked);
        }
        if !says(asked, "Bearer t0ken") {
            let challenge = format!(
                r#"Bearer realm="http://{host}/token",service="the registry",scope="repository:team/tool:pull""#
            );
            return Answer::of(401, "").header("WWW-Authenticate", challenge);
        }
        if asked.path.contains(&layer) {
            let elsewhere = host.replace("127.0.0.1", "localhost");
            return Answer::of(307, "").header("Location", format!("http://{elsewhere}/elsewhere/{layer}"));
        }
        shelf.answer(asked)
    })
}

#[test]
fn a_token_is_fetched_with_the_password_and_goes_nowhere_else() {
    let server = guarded();
    let world = World::logged_in(&server.host, PAIR);
    world.pull(&server.host, "tool:1").unwrap();
    let asked = server.asked();
    let token = asked.iter().find(|asked| asked.path.starts_with("/token")).unwrap();
    assert_eq!(token.path, "/token?service=the%20registry&scope=repository%3Ateam%2Ftool%3Apull");
    let elsewhere = asked.iter().find(|asked| asked.path.starts_with("/elsewhere/")).unwrap();
    assert_eq!(elsewhere.header("authorization"), None);
    for asked in asked.iter().filter(|asked| !asked.path.starts_with("/token")) {
        assert!(!says(asked, &format!("Basic {PAIR}")), "{asked:?}");
    }
    assert!(!world.told().contains("hunter2") && !world.told().contains(PAIR), "{}", world.told());
}

#[test]
fn without_a_password_or_with_a_wrong_one_it_says_what_to_do() {
    let server = guarded();
    let refusal = World::new().refusal(&server.host, "tool:1");
    assert!(refusal.contains("no access") && refusal.contains("docker login"), "{refusal}");
    let wrong = "bWU6d3Jvbmc=";
    let refusal = World::logged_in(&server.host, wrong).refusal(&server.host, "tool:1");
    assert!(refusal.contains("not, or no longer, enough") && !refusal.contains(wrong), "{refusal}");
    let refusal = World::logged_in("other.example", PAIR).refusal(&server.host, "tool:1");
    assert!(refusal.contains("docker login"), "{refusal}");
    assert!(server.asked().iter().all(|asked| !says(asked, &format!("Basic {PAIR}"))));
}

#[test]
fn a_registry_may_ask_for_the_password_itself() {
    let shelf = Shelf::usual();
    let server = Server::start(move |asked| match says(asked, &format!("Basic {PAIR}")) {
        true => shelf.answer(asked),
        false => Answer::of(401, "").header("WWW-Authenticate", "Basic realm=\"registry\""),
    });
    World::logged_in(&server.host, PAIR).pull(&server.host, "tool:1").unwrap();
    assert!(World::new().refusal(&server.host, "tool:1").contains("docker login"));
}
