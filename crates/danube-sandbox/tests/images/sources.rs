//! What a user may name: OCI layouts in folders and tars, saved images, root file systems; and damaged ones.

use std::fs;

use danube_core::runtime::ImageSource;
use danube_sandbox::images::{Digest, Limits, ResolvedImage, Result, resolve};
use serde_json::json;

use crate::builder::{CONFIG, INDEX, Layout, MANIFEST, TAR, Tar, docker_save, gzip, machine, zstd};
use crate::world::World;

fn find(source: &ImageSource) -> Result<ResolvedImage> {
    resolve(source, &Limits::default())
}

fn words(source: &ImageSource) -> String {
    find(source).expect_err("must be refused").to_string()
}

fn layer() -> Vec<u8> {
    Tar::new().dir("etc").file("etc/motd", "hello").build()
}

#[test]
fn layers_of_every_media_type_are_read() {
    let oci = "application/vnd.oci.image.layer.v1.tar";
    let docker = "application/vnd.docker.image.rootfs.diff.tar";
    for (media_type, bytes) in [
        (oci.to_owned(), layer()),
        (format!("{oci}+gzip"), gzip(&layer())),
        (format!("{oci}+zstd"), zstd(&layer())),
        (docker.to_owned(), layer()),
        (format!("{docker}.gzip"), gzip(&layer())),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip".to_owned(), gzip(&layer())),
    ] {
        let world = World::new();
        let layout = Layout::new(&world.image());
        layout.index(vec![layout.image(&[(media_type, bytes)], json!({}))]);
        world.unpack_from(&layout.source()).unwrap();
        assert_eq!(world.text("etc/motd"), "hello");
    }
}

#[test]
fn the_configuration_comes_along() {
    let world = World::new();
    let layout = Layout::new(&world.image());
    let run = json!({"Env": ["PATH=/bin", "A=b"], "User": "1000:5", "WorkingDir": "/src", "Entrypoint": ["/i"], "Cmd": ["x"]});
    layout.index(vec![layout.image(&[(TAR.to_owned(), layer())], run)]);
    let config = find(&layout.source()).unwrap().config;
    assert_eq!(config.env, ["PATH=/bin", "A=b"]);
    assert_eq!((config.user.as_deref(), config.working_dir.as_deref()), (Some("1000:5"), Some("/src")));
    assert_eq!((config.entrypoint, config.cmd), (vec!["/i".to_owned()], vec!["x".to_owned()]));
}

#[test]
fn a_blob_that_is_not_what_its_digest_says_is_named() {
    let world = World::new();
    let layout = Layout::of(&world.image(), vec![layer()]);
    let digest = Digest::of(&layer()).to_string();
    let mut forged = layer();
    let at = forged.windows(5).position(|w| w == b"hello").unwrap();
    forged[at] = b'j';
    fs::write(layout.path(&digest), &forged).unwrap();
    let error = world.unpack_from(&layout.source()).unwrap_err().to_string();
    assert!(error.contains(&digest) && error.contains("damaged or forged"), "{error}");

    forged[0] = b'X';
    fs::write(layout.path(&digest), &forged).unwrap();
    let error = world.unpack_from(&layout.source()).unwrap_err().to_string();
    assert!(error.contains("damaged or forged"), "damage is called damage also where the tar does not read: {error}");
}

#[test]
fn a_forged_manifest_or_configuration_is_named() {
    let world = World::new();
    let layout = Layout::of(&world.image(), vec![layer()]);
    for blob in fs::read_dir(layout.dir.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path()) {
        let good = fs::read(&blob).unwrap();
        if good.starts_with(b"{") {
            let forged =
                String::from_utf8(good.clone()).unwrap().replacen("linux", "lunix", 1).replacen("layers", "sayers", 1);
            fs::write(&blob, forged).unwrap();
            let words = words(&layout.source());
            assert!(words.contains(blob.file_name().unwrap().to_str().unwrap()), "{words}");
            fs::write(&blob, good).unwrap();
        }
    }
    assert!(find(&layout.source()).is_ok());
}

#[test]
fn a_missing_layer_and_a_layer_of_another_size_are_named() {
    let world = World::new();
    let layout = Layout::of(&world.image(), vec![layer()]);
    let digest = Digest::of(&layer()).to_string();
    fs::write(layout.path(&digest), b"short").unwrap();
    let error = words(&layout.source());
    assert!(error.contains(&digest) && error.contains("has 5 bytes"), "{error}");
    fs::remove_file(layout.path(&digest)).unwrap();
    let error = words(&layout.source());
    assert!(error.contains(&digest) && error.contains("missing"), "{error}");
}

#[test]
fn unknown_media_types_are_named() {
    let world = World::new();
    let layout = Layout::new(&world.image());
    let encrypted = "application/vnd.oci.image.layer.v1.tar+encrypted";
    layout.index(vec![layout.image(&[(encrypted.to_owned(), layer())], json!({}))]);
    assert!(words(&layout.source()).contains(encrypted));

    let chart = layout.manifest(layout.blob("application/vnd.cncf.helm.config.v1+json", b"{}"), vec![]);
    layout.index(vec![chart]);
    assert!(words(&layout.source()).contains("helm"));

    let mut old = layout.image(&[], json!({}));
    old["mediaType"] = json!("application/vnd.docker.distribution.manifest.v1+prettyjws");
    layout.index(vec![old]);
    assert!(words(&layout.source()).contains("prettyjws"));
}

#[test]
fn digests_that_are_paths_are_refused() {
    let world = World::new();
    let layout = Layout::new(&world.image());
    for digest in ["sha256:../../../../etc/passwd", "sha512:00", "sha256:ABC", "../x"] {
        layout.index(vec![json!({"mediaType": MANIFEST, "digest": digest, "size": 3})]);
        assert!(words(&layout.source()).contains("not a digest"));
    }
}

#[test]
fn an_index_of_many_platforms_gives_this_machines() {
    let world = World::new();
    let layout = Layout::new(&world.image());
    let platform = |arch: &str, text: &str| {
        let mut image = layout.image(&[(TAR.to_owned(), Tar::new().file("arch", text).build())], json!({}));
        image["platform"] = json!({"os": "linux", "architecture": arch});
        image
    };
    let mut attestation = layout.image(&[], json!({}));
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    let inner =
        json!({"schemaVersion": 2, "manifests": [attestation, platform("s390x", "no"), platform(machine(), "yes")]});
    layout.index(vec![layout.blob(INDEX, inner.to_string().as_bytes())]);
    world.unpack_from(&layout.source()).unwrap();
    assert_eq!(world.text("arch"), "yes");

    layout.index(vec![platform("s390x", "no"), platform("mips", "no")]);
    let error = words(&layout.source());
    assert!(error.contains("linux/s390x, linux/mips"), "{error}");
}

#[test]
fn indexes_nested_for_ever_end() {
    let world = World::new();
    let layout = Layout::new(&world.image());
    let mut inner = layout.image(&[], json!({}));
    for _ in 0..10 {
        inner = layout.blob(INDEX, json!({"schemaVersion": 2, "manifests": [inner]}).to_string().as_bytes());
    }
    layout.index(vec![inner]);
    assert!(words(&layout.source()).contains("nested"));
}

#[test]
fn a_tag_chooses_and_without_one_the_tags_are_listed() {
    let world = World::new();
    let layout = Layout::new(&world.image());
    let tagged = |tag: &str| {
        let mut image = layout.image(&[(TAR.to_owned(), Tar::new().file("tag", tag).build())], json!({}));
        image["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        image
    };
    layout.index(vec![tagged("1.0"), tagged("2.0")]);
    let with = |tag: &str| ImageSource::OciLayout { dir: world.image(), tag: Some(tag.to_owned()) };
    assert!(words(&layout.source()).contains("1.0, 2.0"));
    assert!(words(&with("3.0")).contains("1.0, 2.0"));
    world.unpack_from(&with("2.0")).unwrap();
    assert_eq!(world.text("tag"), "2.0");
}

#[test]
fn a_folder_or_file_that_is_no_image_says_what_was_expected() {
    let world = World::new();
    assert!(words(&ImageSource::OciLayout { dir: world.image(), tag: None }).contains("index.json"));
    let file = world.image().join("noise");
    fs::write(&file, vec![b'x'; 5000]).unwrap();
    assert!(words(&ImageSource::Tar(file.clone())).contains("docker save"));
    fs::write(&file, "").unwrap();
    assert!(words(&ImageSource::Tar(file)).contains("docker save"));
    assert!(words(&ImageSource::Tar(world.image())).contains("not a regular file"));
    assert!(words(&ImageSource::Tar("/no/such".into())).contains("/no/such"));
    assert!(words(&ImageSource::Reference("debian:12".into())).contains("debian:12"));
}

#[test]
fn a_pipe_instead_of_a_file_does_not_hang() {
    let world = World::new();
    let fifo = world.image().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert!(words(&ImageSource::Tar(fifo)).contains("not a regular file"));
}

#[test]
fn a_root_file_system_is_read_plain_and_compressed() {
    for (name, bytes) in [("r.tar", layer()), ("r.tar.gz", gzip(&layer())), ("r.tar.zst", zstd(&layer()))] {
        let world = World::new();
        let file = world.image().join(name);
        fs::write(&file, bytes).unwrap();
        let source = ImageSource::Tar(file);
        world.unpack_from(&source).unwrap();
        assert_eq!(world.text("etc/motd"), "hello");
        let config = find(&source).unwrap().config;
        assert!(config.env[0].starts_with("PATH=") && config.user.is_none());
    }
}

#[test]
fn a_root_file_system_that_changes_after_it_was_found_is_refused() {
    let world = World::new();
    let file = world.image().join("r.tar");
    fs::write(&file, layer()).unwrap();
    let image = find(&ImageSource::Tar(file.clone())).unwrap();
    let mut other = layer();
    let at = other.windows(5).position(|w| w == b"hello").unwrap();
    other[at] = b'j';
    fs::write(&file, other).unwrap();
    let open = danube_sandbox::images::OpenImage::open(&image).unwrap();
    let root = fs::File::open(world.root()).unwrap();
    let result = danube_sandbox::images::unpack(
        &open,
        std::os::fd::AsFd::as_fd(&root),
        world.ownership,
        &world.limits,
        &mut |_, _| {},
    );
    assert!(result.unwrap_err().to_string().contains("damaged or forged"));
}

#[test]
fn a_layout_in_a_tar_is_the_same_image() {
    let world = World::new();
    let layout = Layout::of(&world.image().join("layout"), vec![layer()]);
    let file = world.image().join("layout.tar");
    fs::write(&file, layout.as_tar()).unwrap();
    let source = ImageSource::Tar(file);
    assert_eq!(find(&source).unwrap().digest, find(&layout.source()).unwrap().digest);
    world.unpack_from(&source).unwrap();
    assert_eq!(world.text("etc/motd"), "hello");
}

#[test]
fn what_docker_saves_is_read_and_checked_against_its_configuration() {
    let world = World::new();
    let second = Tar::new().file("etc/.wh.motd", "").file("two", "2").build();
    let ids = [layer(), second.clone()].map(|tar| Digest::of(&tar).to_string());
    let file = world.image().join("saved.tar");
    fs::write(&file, docker_save(&[layer(), gzip(&second)], &ids).build()).unwrap();
    let source = ImageSource::Tar(file.clone());
    world.unpack_from(&source).unwrap();
    assert_eq!(world.names(), ["etc", "two"]);
    assert_eq!(find(&source).unwrap().config.user.as_deref(), Some("app"));

    fs::write(&file, docker_save(&[layer(), layer()], &ids).build()).unwrap();
    assert!(world.unpack_from(&source).unwrap_err().to_string().contains(&ids[1]));
    fs::write(&file, docker_save(&[layer()], &ids).build()).unwrap();
    assert!(words(&source).contains("1 layers"));
}

#[test]
fn equal_layers_saved_as_links_are_found() {
    let world = World::new();
    let id = Digest::of(&layer()).to_string();
    let config = json!({"architecture": machine(), "os": "linux", "rootfs": {"diff_ids": [id, id]}}).to_string();
    let manifest = json!([{"Config": "c.json", "Layers": ["a/layer.tar", "b/layer.tar"]}]).to_string();
    let tar = Tar::new().file("a/layer.tar", layer()).symlink("b/layer.tar", "../a/layer.tar");
    let file = world.image().join("saved.tar");
    fs::write(&file, tar.file("c.json", config).file("manifest.json", manifest).build()).unwrap();
    world.unpack_from(&ImageSource::Tar(file)).unwrap();
    assert_eq!(world.text("etc/motd"), "hello");
}

#[test]
fn a_missing_layer_of_a_saved_image_is_named() {
    let world = World::new();
    let manifest = json!([{"Config": "c.json", "Layers": ["gone/layer.tar"]}]).to_string();
    let config = json!({"os": "linux", "rootfs": {"diff_ids": [Digest::of(b"")]}}).to_string();
    let file = world.image().join("saved.tar");
    fs::write(&file, Tar::new().file("c.json", config).file("manifest.json", manifest).build()).unwrap();
    assert!(words(&ImageSource::Tar(file)).contains("gone/layer.tar is missing"));
}

#[test]
fn names_in_messages_cannot_command_the_terminal() {
    let world = World::new();
    let file = world.image().join("saved.tar");
    let manifest = json!([{"Config": "\u{1b}[2Jc.json", "Layers": []}]).to_string();
    fs::write(&file, Tar::new().file("manifest.json", manifest).build()).unwrap();
    assert!(!words(&ImageSource::Tar(file)).contains('\u{1b}'));

    let layout = Layout::new(&world.image());
    let mut image = layout.image(&[], json!({}));
    image["annotations"] = json!({"org.opencontainers.image.ref.name": "\u{1b}[2J"});
    image["platform"] = json!({"os": "\u{1b}[2J", "architecture": "\u{7}"});
    layout.index(vec![image.clone()]);
    assert!(!words(&layout.source()).contains('\u{1b}'));
    layout.index(vec![image, layout.image(&[], json!({}))]);
    assert!(!words(&layout.source()).contains('\u{1b}'));
}

#[test]
fn a_compressed_saved_image_says_what_to_do() {
    let world = World::new();
    let file = world.image().join("saved.tar.gz");
    let id = Digest::of(&layer()).to_string();
    fs::write(&file, gzip(&docker_save(&[layer()], &[id]).build())).unwrap();
    assert!(words(&ImageSource::Tar(file)).contains("decompress it first"));
}

#[test]
fn too_many_layers_are_refused() {
    let world = World::new();
    let layout = Layout::new(&world.image());
    let layer = layout.blob(TAR, &layer());
    let config = layout.blob(CONFIG, json!({"os": "linux"}).to_string().as_bytes());
    layout.index(vec![layout.manifest(config, vec![layer; 300])]);
    assert!(words(&layout.source()).contains("300 layers"));
}
