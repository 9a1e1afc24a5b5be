//! The main use case with real components: a site that needs a `GITHUB_TOKEN` during its image build, built by the
//! Pipeline's Tasks with Buildah, the API server, OpenBao and Claviger; and an image without a trace of the token.

use super::image::Unpacked;
use super::task::{Step, TaskRun};
use crate::rig::claviger::{self, write_policies};
use crate::rig::installation::{Installation, InstallationSetup};
use crate::rig::kube::tekton::{self, Build};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

const TOKEN: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";
const STATIC_BUSYBOX: &str = "/bin/busybox";

/// A build of the site that works with secrets and without.
const DOCKERFILE: &str = "FROM scratch
COPY busybox /bin/busybox
COPY busybox /bin/sh
COPY site.sh /site.sh
RUN --mount=type=secret,id=build-env . /run/secrets/build-env && . /site.sh
";
/// Its index shows a digest of the token it was built with, not the token.
const SITE: &str = r#"set -eu
/bin/busybox mkdir -p /site
if [ "${GITHUB_TOKEN:-}" ]; then
  digest=$(printf %s "$GITHUB_TOKEN" | /bin/busybox sha256sum)
  echo "<h1>built with ${digest%"${digest#????????}"}</h1>" >/site/index.html
else
  echo "<h1>built without</h1>" >/site/index.html
fi
"#;
/// The first eight digits of the token's SHA-256.
fn digest() -> String {
    let output =
        Command::new("sh").args(["-c", "printf %s \"$1\" | sha256sum | head -c 8", "sh", TOKEN]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Pipelines of `tekton/site-bot` get the secrets of their run's params, whatever they ask for.
async fn setup() -> InstallationSetup {
    let setup = InstallationSetup::new().await;
    setup.bao.put("homelab/site/main", &[("GITHUB_TOKEN", TOKEN)]).await;
    let spec = json!({
        "subjects": [{"kubernetes": {"namespaces": ["tekton"], "serviceAccounts": ["site-bot"]}}],
        "repos": ["**"], "branches": ["**"],
        "attest": {"repo": "caller.pipelineRun.params.repo", "branch": "caller.pipelineRun.params.branch"},
        "secrets": [{"store": "vault", "path": "homelab/{repo}/{branch}"}],
    });
    write_policies(&setup.folder.path().join("policies"), &[("sites", spec)]);
    setup
}

async fn pipeline_run(rig: &Installation, branch: &str) -> Build {
    let params = json!([{"name": "repo", "value": "site"}, {"name": "branch", "value": branch}]);
    rig.kube.build("tekton/site-bot", tekton::BuildSpec { params, ..tekton::BuildSpec::default() }).await
}

/// A run of the Task `claviger-buildah`.
struct BuildahRun {
    run: TaskRun,
    archive: PathBuf,
    _storage: TempDir,
}

impl BuildahRun {
    fn of(rig: &Installation, build: &Build, repo: &str, branch: &str, dockerfile: &str) -> Self {
        Self::with(rig, build, &[("repo", &[repo]), ("branch", &[branch])], dockerfile)
    }

    /// With these params before the default ones.
    fn with(rig: &Installation, build: &Build, chosen: &[(&str, &[&str])], dockerfile: &str) -> Self {
        let storage = tempfile::tempdir().unwrap();
        let archive = storage.path().join("image.tar");
        let destination = format!("oci-archive:{}", archive.display());
        let server = format!("http://{}", rig.claviger.api);
        let params: [(&str, &[&str]); 5] = [
            ("repo", &["site"]),
            ("branch", &["main"]),
            ("destination", &[&destination]),
            ("server", &[&server]),
            ("timeout", &["3s"]),
        ];
        let params = [chosen, &params].concat();
        let mut run = TaskRun::of("claviger-buildah", &["dash"], &build.pod.token, &params);
        // The counterpart of the cluster's volume at /var/lib/containers.
        let conf = storage.path().join("storage.conf");
        let at = |name: &str| storage.path().join(name).display().to_string();
        let text =
            format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n", at("graph"), at("run"));
        fs::write(&conf, text).unwrap();
        run.environment("CONTAINERS_STORAGE_CONF", conf.display().to_string());
        fs::write(run.source().join("Dockerfile"), dockerfile).unwrap();
        fs::write(run.source().join("site.sh"), SITE).unwrap();
        fs::copy(STATIC_BUSYBOX, run.source().join("busybox")).unwrap();
        Self { run, archive, _storage: storage }
    }

    /// The result of `claviger scan` for the image, with the values that the build's pod may have.
    fn scan_image(&self, rig: &Installation, build: &Build) -> (Option<i32>, String) {
        let ticket = rig.claviger.ask(&build.pod.token, "");
        let url = ticket.header("location").unwrap_or_else(|| panic!("{ticket:?}"));
        let image = format!("oci-archive:{}", self.archive.display());
        let (code, out, err) = claviger::run(&["scan", "--image", &image, "--ticket", &url]);
        assert!(!out.contains(TOKEN) && !err.contains(TOKEN), "{out}{err}");
        (code, out + &err)
    }

    fn assert_succeeds(&self) -> Unpacked {
        let steps = self.run.run();
        let ended: Vec<_> = steps.iter().map(|step| (step.name.as_str(), step.code)).collect();
        assert_eq!(ended, [("fetch", Some(0)), ("build", Some(0)), ("push", Some(0))], "{steps:#?}");
        assert!(self.run.result("digest").starts_with("sha256:"));
        assert!(!self.run.volume("secrets").join("build-env").exists());
        for step in &steps {
            assert!(!step.out.contains(TOKEN) && !step.err.contains(TOKEN), "{steps:#?}");
        }
        Unpacked::of(&self.archive)
    }

    /// Checks that the fetch fails with this code and these words, and that nothing is built.
    fn assert_fails(&self, code: i32, words: &str) {
        let steps: Vec<Step> = self.run.run();
        assert_eq!((steps.len(), steps[0].name.as_str(), steps[0].code), (1, "fetch", Some(code)), "{steps:#?}");
        assert!(steps[0].err.contains(words), "{steps:#?}");
        assert!(!self.archive.exists() && !self.run.volume("secrets").join("build-env").exists());
    }
}

#[tokio::test]
async fn a_site_is_built_with_its_secret_and_its_image_does_not_have_it() {
    let rig = setup().await.start();
    let build = pipeline_run(&rig, "main").await;
    let building = BuildahRun::of(&rig, &build, "site", "main", DOCKERFILE);
    let image = building.assert_succeeds();
    let index = image.file("site/index.html").unwrap();
    assert_eq!(index, format!("<h1>built with {}</h1>\n", digest()));
    assert_eq!(image.grep(TOKEN), Vec::<String>::new());
    assert!(!image.grep("<h1>built with").is_empty(), "grep looks into layers");
    let scanned = building.scan_image(&rig, &build);
    assert_eq!(scanned.0, Some(0), "{scanned:?}");

    // The control: a Dockerfile that leaves the token in the image, as text and in base64.
    for leak in ["echo $GITHUB_TOKEN >/leak", "printf %s \"$GITHUB_TOKEN\" | /bin/busybox base64 >/leak"] {
        let leaky = format!("{DOCKERFILE}RUN --mount=type=secret,id=build-env . /run/secrets/build-env && {leak}\n");
        let building = BuildahRun::of(&rig, &build, "site", "main", &leaky);
        let places = building.assert_succeeds().grep(TOKEN);
        assert!(places.iter().any(|place| place.ends_with("/leak")), "{leak}: {places:?}");
        let scanned = building.scan_image(&rig, &build);
        assert_eq!(scanned.0, Some(1), "{leak}: {scanned:?}");
        assert!(scanned.1.contains("GITHUB_TOKEN"), "{leak}: {scanned:?}");
    }
}

#[tokio::test]
async fn a_site_without_secrets_is_built_without() {
    let rig = setup().await.start();
    let build = pipeline_run(&rig, "draft").await;
    let image = BuildahRun::of(&rig, &build, "site", "draft", DOCKERFILE).assert_succeeds();
    assert_eq!(image.file("site/index.html").as_deref(), Some("<h1>built without</h1>\n"));
}

#[tokio::test]
async fn a_build_that_requests_the_secrets_of_another_repo_fails() {
    let setup = setup().await;
    setup.bao.put("homelab/shop/main", &[("GITHUB_TOKEN", "that of the shop")]).await;
    let rig = setup.start();
    let build = pipeline_run(&rig, "main").await;
    BuildahRun::of(&rig, &build, "shop", "main", DOCKERFILE).assert_fails(3, "attestation_failed");
    let stranger = Build { pod: rig.kube.pod("tekton/other-bot").await, ..build };
    BuildahRun::of(&rig, &stranger, "site", "main", DOCKERFILE).assert_fails(3, "denied");
}

#[tokio::test]
async fn a_build_with_a_sealed_vault_fails_and_makes_no_image() {
    let rig = setup().await.start();
    let build = pipeline_run(&rig, "main").await;
    rig.bao.seal().await;
    BuildahRun::of(&rig, &build, "site", "main", DOCKERFILE).assert_fails(4, "store_unavailable");
}

#[tokio::test]
async fn a_param_does_not_become_an_option_of_buildah() {
    let rig = setup().await.start();
    let build = pipeline_run(&rig, "main").await;
    for (param, value, step, words) in [
        ("secret-id", "build-env,src=/etc/passwd", "build", "secret-id: must have"),
        ("secret-id", "build-env\n", "build", "secret-id: must have"),
        ("secret-id", "", "build", "secret-id: must have"),
        ("dockerfile", "Dockerfile,site.sh", "build", "must have no comma"),
        ("context", ".,x", "build", "must have no comma"),
        ("context", "\"x\"", "build", "must have no comma"),
        ("context", "--help", "build", "--help"),
        ("context", "https://127.0.0.1:1/x.git", "build", "https:"),
        ("destination", "--help", "push", "--help"),
        ("destination", "--digestfile=/tmp/x", "push", "--digestfile"),
    ] {
        let building = BuildahRun::with(&rig, &build, &[(param, &[value])], DOCKERFILE);
        let steps = building.run.run();
        let last = steps.last().unwrap();
        assert_eq!(last.name, step, "{param}={value:?}: {steps:#?}");
        assert!(last.code != Some(0) && last.err.contains(words) && !last.out.contains("Usage:"), "{param}: {last:#?}");
        assert!(!building.archive.exists(), "{param}={value:?}");
    }
    // A folder and a file can have such a name.
    let named: [(&str, &[&str]); 3] =
        [("context", &["-site"]), ("dockerfile", &["-file"]), ("secret-id", &["my.id-1"])];
    let building = BuildahRun::with(&rig, &build, &named, DOCKERFILE);
    let folder = building.run.source().join("-site");
    fs::create_dir(&folder).unwrap();
    for file in ["site.sh", "busybox"] {
        fs::rename(building.run.source().join(file), folder.join(file)).unwrap();
    }
    fs::write(folder.join("-file"), DOCKERFILE.replace("build-env", "my.id-1")).unwrap();
    assert_eq!(
        building.assert_succeeds().file("site/index.html").unwrap(),
        format!("<h1>built with {}</h1>\n", digest())
    );
}
