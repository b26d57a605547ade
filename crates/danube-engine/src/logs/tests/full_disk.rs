//! A disk that is really full: a small tmpfs in a mount namespace of its own, where this same test binary runs again.

use std::process::Command;

use super::*;

#[test]
fn a_full_disk_loses_nothing() {
    let this = std::env::current_exe().unwrap();
    let script = r#"mount -t tmpfs -o size=2m tmpfs /mnt && exec "$0" --exact --ignored --nocapture "$1""#;
    let name = format!("{}::inside_a_small_disk", module_path!().split_once("::").unwrap().1);
    let run = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(this)
        .arg(name)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by a_full_disk_loses_nothing"]
async fn inside_a_small_disk() {
    let (house, chunk) = (House::new().await, b"0123456789abcde\n".repeat(1024));
    let logs = LogDir::new("/mnt/logs");
    let mut log = house.begin(1, &masks()).await;
    drop(log);
    log = logs.open(&house.store, &key(1), &masks()).await.unwrap();
    std::fs::write("/mnt/ballast", vec![0; 1 << 20]).unwrap();
    let (mut sent, mut acknowledged) = (0, 0);
    let full = loop {
        sent += chunk.len() as u64;
        if let Err(error) = log.append(1, 1, &chunk) {
            break error;
        }
        acknowledged = log.commit().await.unwrap();
    };
    assert!(full.is_full(), "{full}");
    let words = full.to_string();
    assert!(words.starts_with("cannot write /mnt/logs/job-1/1/1.raw: No space left on device"), "{words}");
    assert!(words.contains("make room"), "{words}");
    assert!(log.commit().await.unwrap_err().is_full());
    assert_eq!(house.row(1).await.consumed, acknowledged, "nothing is acknowledged that is not durable");

    std::fs::remove_file("/mnt/ballast").unwrap();
    assert_eq!(log.commit().await.unwrap(), sent, "with room again it goes on where it stopped");
    let whole = chunk.repeat((sent / chunk.len() as u64) as usize);
    log.check_end(sent, &Sha256::digest(&whole)).unwrap();
    assert_eq!(std::fs::read("/mnt/logs/job-1/1/1.raw").unwrap(), whole);
}
