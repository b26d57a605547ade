//! What a server needs around it: danube.toml, a configuration repository, an application's, and a registry with an image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use danube_testutils::Registry;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::dev::Dev;
use super::git::git_in;
use super::image::Image;
use super::{Project, Ran, binary};

/// A server and its surroundings. The project is the application `app`, whose pipeline has the same name.
pub struct Site {
    /// The application's checkout, and the data directory.
    pub project: Project,
    ground: Ground,
}

/// Where jobs run and images are.
enum Ground {
    /// On this machine, with a registry on its loopback.
    Here(Registry),
    /// On a cluster, which has a registry.
    Cluster(Cluster),
}

impl Site {
    /// An application whose steps run in an image of the registry. None, said in so many words, where there is no registry.
    pub fn new(body: &str) -> Option<Self> {
        let site = Self { project: Project::empty(), ground: Ground::Here(Registry::start()?) };
        let image = Image::with(&["sh", "cat", "chmod", "ls", "seq", "sleep", "sort", "tee", "touch"]);
        site.push(&image, "tool", &json!({ "Env": ["PATH=/bin"] }));
        site.begin(body);
        Some(site)
    }

    /// The same on a cluster. None, said in so many words, where there is none.
    pub fn on_cluster(body: &str) -> Option<Self> {
        let project = Project::empty();
        let cluster = Cluster::find(&project.outside(""))?;
        let site = Self { project, ground: Ground::Cluster(cluster) };
        site.begin(body);
        Some(site)
    }

    fn begin(&self, body: &str) {
        self.pipeline(&self.image(), body);
        self.commit("first");
        fs::create_dir(self.config_dir()).expect("the configuration's folder");
        git_in(&self.config_dir(), &["init", "--quiet", "--initial-branch=main"]);
        self.configure("app", &self.object("app"));
        self.toml("");
    }

    /// The name of the image that steps run in.
    pub fn image(&self) -> String {
        match &self.ground {
            Ground::Here(_) => self.named("tool"),
            Ground::Cluster(cluster) => cluster.image("worker"),
        }
    }

    /// The name of an image that was pushed.
    pub fn named(&self, name: &str) -> String {
        match &self.ground {
            Ground::Here(registry) => format!("{}/team/{name}:1", registry.host),
            Ground::Cluster(cluster) => cluster.image(name),
        }
    }

    /// Puts an image with this configuration into the registry.
    pub fn push(&self, image: &Image, name: &str, config: &Value) {
        let layout = self.project.outside(&format!("layout-{name}"));
        image.oci(&layout, config);
        match &self.ground {
            Ground::Here(registry) => drop(registry.push(&layout, &format!("team/{name}"), "1")),
            Ground::Cluster(cluster) => cluster.push(&layout, name),
        }
    }

    /// The cluster that jobs run on.
    pub fn cluster(&self) -> &Cluster {
        match &self.ground {
            Ground::Cluster(cluster) => cluster,
            Ground::Here(_) => panic!("this one is on no cluster"),
        }
    }

    /// Writes the application's danubefile. Its name for itself is not the one that counts.
    pub fn pipeline(&self, image: &str, body: &str) {
        let arguments = if image.is_empty() { String::new() } else { format!("image='{image}'") };
        self.pipeline_with(&arguments, body);
    }

    /// The same, with these arguments of the decorator.
    pub fn pipeline_with(&self, arguments: &str, body: &str) {
        let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
        let decorator = format!("@pipeline({arguments})");
        self.project.write(
            "danubefile.py",
            format!("from danube import *\nimport danube\n\n{decorator}\ndef build():\n{body}"),
        );
    }

    /// Commits the application as it stands; gives the commit.
    pub fn commit(&self, message: &str) -> String {
        super::git::commit(&self.project, message);
        git_in(&self.project.dir(), &["rev-parse", "HEAD"])
    }

    /// The configuration repository.
    pub fn config_dir(&self) -> PathBuf {
        self.project.outside("config")
    }

    /// The object of a pipeline of the application.
    pub fn object(&self, name: &str) -> String {
        let repository = self.project.dir();
        format!(
            "apiVersion: danube.dev/v1\nkind: Pipeline\nmetadata:\n  name: {name}\nspec:\n  repository: {}\n",
            repository.display()
        )
    }

    /// Commits a file of pipelines, or its end where it is empty.
    pub fn configure(&self, name: &str, text: &str) -> String {
        let path = self.config_dir().join("pipelines").join(format!("{name}.yaml"));
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        if text.is_empty() {
            fs::remove_file(path).expect("it is there");
        } else {
            fs::write(path, text).expect("written");
        }
        git_in(&self.config_dir(), &["add", "--all"]);
        git_in(&self.config_dir(), &["commit", "--quiet", "--message", name]);
        git_in(&self.config_dir(), &["rev-parse", "HEAD"])
    }

    /// Writes danube.toml; `more` stands at its top.
    pub fn toml(&self, more: &str) {
        self.toml_with(more, "");
    }

    /// The same; `of_cluster` stands in its `[kubernetes]`.
    pub fn toml_with(&self, more: &str, of_cluster: &str) {
        let (runtime, cluster) = match &self.ground {
            Ground::Here(_) => ("", String::new()),
            Ground::Cluster(cluster) => ("runtime = \"kubernetes\"\n", cluster.table(of_cluster)),
        };
        let text = format!(
            "data_dir = \"{}\"\nlisten = \"127.0.0.1:0\"\n{runtime}{more}\n[config]\nurl = \"file://{}\"\nsync_interval = \"1s\"\n[limits]\njobs = 4\n{cluster}",
            self.project.data().display(),
            self.config_dir().display()
        );
        fs::write(self.toml_path(), text).expect("written");
    }

    /// Where it is.
    pub fn toml_path(&self) -> PathBuf {
        self.project.outside("danube.toml")
    }

    /// `danube serve`, ready to be changed and started.
    pub fn command(&self) -> Command {
        let mut command = self.danube(&["serve"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it.
    pub fn start(&self) -> Dev {
        self.start_by(self.command())
    }

    /// Starts it by this command.
    pub fn start_by(&self, command: Command) -> Dev {
        Dev::announced(&self.announcement(), command)
    }

    /// Where it says how it is spoken to.
    pub fn announcement(&self) -> PathBuf {
        self.project.data().join("serve.json")
    }

    /// Any command, of somebody who knows nothing but where danube.toml is.
    pub fn danube(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .env("DANUBE_CONFIG", self.toml_path())
            .env("XDG_STATE_HOME", self.project.outside("none"));
        if let Ground::Cluster(cluster) = &self.ground {
            command.env("SSL_CERT_FILE", cluster.certificate());
        }
        command.env_remove("DANUBE_DATA_DIR").env_remove("DANUBE_LOG").env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    /// Runs one to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.danube(arguments).output().expect("danube starts"))
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.project.data().join("master/danube.db")
    }
}

/// A bare copy of a repository.
pub fn bare(from: &Path, to: &Path) {
    git_in(Path::new("/"), &["clone", "--quiet", "--bare", &from.to_string_lossy(), &to.to_string_lossy()]);
}
