//! `cargo xtask deb`: the Debian package, from a build to a file, by one command.
//!
//! Two runs on one commit give the same bytes: the program's paths are mapped, the archive's times
//! are those of the commit (or `SOURCE_DATE_EPOCH`), its owner is root.

use std::{
    env, fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::libraries;

const PACKAGE: &str = "posse";
const MAINTAINER: &str = "The Posse authors <posse@example.net>";
const LOG_GROUPS: &str = "adm systemd-journal";
/// Scripts of the package, as dpkg names them.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
const DOCUMENTS: [&str; 5] = [
    "README.md",
    "docs/alerts.md",
    "docs/configuration.md",
    "docs/command-line.md",
    "docs/install.md",
];

#[derive(Debug, Default)]
pub(crate) struct Wish {
    /// Pack this program instead of building one.
    binary: Option<PathBuf>,
    /// Where the package goes.
    out: Option<PathBuf>,
    /// `+fix1`: a version after this one, to try an upgrade.
    version_suffix: String,
}

impl Wish {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut wish = Self::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let value = rest
                .next()
                .with_context(|| format!("{word} wants a value"))?;
            match *word {
                "--binary" => wish.binary = Some(value.into()),
                "--out" => wish.out = Some(value.into()),
                "--version-suffix" => wish.version_suffix = (*value).to_owned(),
                other => bail!("{other}: not known; see `cargo xtask`"),
            }
        }
        Ok(wish)
    }
}

pub(crate) fn run(wish: &Wish) -> Result<()> {
    let epoch = epoch()?;
    let target = target_dir()?;
    let binary = match &wish.binary {
        Some(path) => fs::canonicalize(path).with_context(|| path.display().to_string())?,
        None => build(&target, &epoch)?,
    };
    let version = format!("{}{}", env!("CARGO_PKG_VERSION"), wish.version_suffix);
    let work = target.join("deb").join(format!("{PACKAGE}_{version}"));
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    let stage = Stage {
        root: work.join("root"),
    };
    fill(&stage, &work, &binary)?;
    documents(&stage, &version, &epoch)?;
    let depends = shared_libraries(&work, &stage.root.join("usr/bin/posse"))?;
    let architecture = said("dpkg", &["--print-architecture"])?;
    control(&stage, &version, &architecture, &depends)?;

    let out = wish.out.clone().unwrap_or_else(|| target.join("deb"));
    fs::create_dir_all(&out)?;
    let path = out.join(format!("{PACKAGE}_{version}_{architecture}.deb"));
    // A program that is only packed is packed for a test: soon rather than small.
    let level = if wish.binary.is_some() { "-z0" } else { "-z6" };
    pack(&stage.root, &path, &epoch, level)?;
    println!("{}", path.display());
    println!("{} bytes", fs::metadata(&path)?.len());
    let sum = said("sha256sum", &[&path.display().to_string()])?;
    println!("sha256 {}", sum.split(' ').next().unwrap_or_default());
    Ok(())
}

/// The manual pages and completions alone, from a development build.
pub(crate) fn manual() -> Result<()> {
    let folder = target_dir()?.join("man").display().to_string();
    let words = [
        "run",
        "--quiet",
        "--package",
        "posse",
        "--",
        "manual",
        &folder,
    ];
    println!("{}", said("cargo", &words)?);
    println!("in {folder}; read with: man -l {folder}/posse.1");
    Ok(())
}

/// The tree that the package holds. Modes are set, not inherited from a umask.
struct Stage {
    root: PathBuf,
}

impl Stage {
    fn put(&self, path: &str, content: &[u8], mode: u32) -> Result<()> {
        let to = self.root.join(path);
        let parent = to.parent().context("a file has a folder")?;
        fs::create_dir_all(parent)?;
        let mut folder = parent;
        while folder.starts_with(&self.root) {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
            folder = folder.parent().context("the stage has a parent")?;
        }
        fs::write(&to, content).with_context(|| to.display().to_string())?;
        fs::set_permissions(&to, fs::Permissions::from_mode(mode))?;
        Ok(())
    }

    fn put_zipped(&self, path: &str, content: &[u8]) -> Result<()> {
        self.put(&format!("{path}.gz"), &gzip(content)?, 0o644)
    }
}

fn build(target: &Path, epoch: &str) -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    );
    let here = env::current_dir()?;
    // Whoever reads a panic needs the file's place in the project, not on the builder's disk.
    let flags = format!(
        "--remap-path-prefix={}=/cargo\x1f--remap-path-prefix={}=/posse",
        home.display(),
        here.display()
    );
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--locked", "--package", "posse"])
        .args(["--profile", "dist"])
        .args(["--config", "profile.dist.inherits=\"release\""])
        .args(["--config", "profile.dist.strip=\"symbols\""])
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env("SOURCE_DATE_EPOCH", epoch)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "the program could not be built");
    Ok(target.join("dist/posse"))
}

fn fill(stage: &Stage, work: &Path, binary: &Path) -> Result<()> {
    let program = fs::read(binary).with_context(|| binary.display().to_string())?;
    stage.put("usr/bin/posse", &program, 0o755)?;
    let staged = stage.root.join("usr/bin/posse").display().to_string();
    said(
        "strip",
        &["--strip-unneeded", "--remove-section=.comment", &staged],
    )?;

    let pages = work.join("manual");
    let pages_name = pages.display().to_string();
    said(&binary.display().to_string(), &["manual", &pages_name])?;
    for entry in fs::read_dir(&pages)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".1") {
            let to = format!("usr/share/man/man1/{name}");
            stage.put_zipped(&to, &fs::read(&path)?)?;
        }
    }
    for (name, to) in [
        ("posse.bash", "usr/share/bash-completion/completions/posse"),
        ("_posse", "usr/share/zsh/vendor-completions/_posse"),
        (
            "posse.fish",
            "usr/share/fish/vendor_completions.d/posse.fish",
        ),
    ] {
        let script = fs::read(pages.join("completions").join(name))?;
        stage.put(to, &script, 0o644)?;
    }

    let unit = read("packaging/posse.service")?
        .replace("@BIN@", "/usr/bin/posse")
        .replace("@GROUPS@", LOG_GROUPS);
    stage.put("lib/systemd/system/posse.service", unit.as_bytes(), 0o644)?;
    let sample = read("packaging/posse.toml")?;
    stage.put("etc/posse/posse.toml", sample.as_bytes(), 0o640)
}

fn documents(stage: &Stage, version: &str, epoch: &str) -> Result<()> {
    const FOLDER: &str = "usr/share/doc/posse";
    for path in DOCUMENTS {
        let name = path.rsplit('/').next().unwrap_or(path);
        stage.put(&format!("{FOLDER}/{name}"), read(path)?.as_bytes(), 0o644)?;
    }
    let mit = read("LICENSE-MIT")?;
    let indented: String = mit
        .lines()
        .map(|line| {
            if line.trim().is_empty() {
                " .\n".into()
            } else {
                format!(" {line}\n")
            }
        })
        .collect();
    let copyright = format!(
        "{}License: MIT\n{indented}",
        read("packaging/debian/copyright")?
    );
    stage.put(&format!("{FOLDER}/copyright"), copyright.as_bytes(), 0o644)?;
    let overrides = read("packaging/debian/lintian-overrides")?;
    stage.put(
        "usr/share/lintian/overrides/posse",
        overrides.as_bytes(),
        0o644,
    )?;
    let libraries = libraries::notices("posse")?;
    stage.put_zipped(&format!("{FOLDER}/libraries.txt"), libraries.as_bytes())?;
    let day = said(
        "date",
        &["--utc", "--rfc-email", &format!("--date=@{epoch}")],
    )?;
    let changes = format!(
        "{PACKAGE} ({version}) unstable; urgency=medium\n\n  * See CHANGELOG.md of the source.\n\n \
         -- {MAINTAINER}  {day}\n"
    );
    stage.put_zipped(&format!("{FOLDER}/changelog"), changes.as_bytes())
}

/// What the program links against, as dpkg names it.
fn shared_libraries(work: &Path, program: &Path) -> Result<String> {
    // dpkg-shlibdeps insists on a source package around it.
    let debian = work.join("debian");
    fs::create_dir_all(&debian)?;
    let stanzas = format!("Source: {PACKAGE}\n\nPackage: {PACKAGE}\nArchitecture: any\n");
    fs::write(debian.join("control"), stanzas)?;
    let output = Command::new("dpkg-shlibdeps")
        .args(["-O"])
        .arg(program)
        .current_dir(work)
        .output()
        .context("cannot start dpkg-shlibdeps (apt-get install dpkg-dev)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let depends = text
        .lines()
        .find_map(|line| line.strip_prefix("shlibs:Depends="));
    depends.map(str::to_owned).with_context(|| {
        format!(
            "dpkg-shlibdeps: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

fn control(stage: &Stage, version: &str, architecture: &str, depends: &str) -> Result<()> {
    let kilobytes = tree(&stage.root)?
        .iter()
        .map(|path| fs::metadata(path).map_or(0, |m| m.len().div_ceil(1024)))
        .sum::<u64>();
    let text = format!(
        "Package: {PACKAGE}\nVersion: {version}\nArchitecture: {architecture}\n\
         Maintainer: {MAINTAINER}\nInstalled-Size: {kilobytes}\nDepends: {depends}, adduser\n\
         Section: admin\nPriority: optional\n\
         Description: first aid against cybercrime: sees attacks in logs, bans their sources\n \
         Posse reads the logs of this machine, detects brute force, probing and\n \
         exploits with rules, and bans the sources in the kernel (nf_tables) within\n \
         milliseconds of the line that gives them away. Alerts, bans and operators'\n \
         commands are recorded on a tamper-evident ledger.\n"
    );
    let mut sums = String::new();
    for path in tree(&stage.root)? {
        let name = path.strip_prefix(&stage.root)?.display().to_string();
        if !name.starts_with("etc/") {
            let sum = said("md5sum", &[&path.display().to_string()])?;
            let sum = sum.split(' ').next().unwrap_or_default();
            sums.push_str(&format!("{sum}  {name}\n"));
        }
    }
    stage.put("DEBIAN/control", text.as_bytes(), 0o644)?;
    stage.put("DEBIAN/md5sums", sums.as_bytes(), 0o644)?;
    stage.put("DEBIAN/conffiles", b"/etc/posse/posse.toml\n", 0o644)?;
    for script in SCRIPTS {
        let text = read(&format!("packaging/debian/{script}"))?;
        stage.put(&format!("DEBIAN/{script}"), text.as_bytes(), 0o755)?;
    }
    Ok(())
}

fn pack(root: &Path, to: &Path, epoch: &str, level: &str) -> Result<()> {
    let status = Command::new("dpkg-deb")
        .args(["--root-owner-group", "-Zxz", level, "--build"])
        .arg(root)
        .arg(to)
        .env("SOURCE_DATE_EPOCH", epoch)
        .stdout(Stdio::null())
        .status()
        .context("cannot start dpkg-deb")?;
    ensure!(status.success(), "dpkg-deb could not build the package");
    Ok(())
}

/// Every file below a folder, sorted.
fn tree(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The moment that the package's files bear.
fn epoch() -> Result<String> {
    match env::var("SOURCE_DATE_EPOCH") {
        Ok(epoch) => Ok(epoch),
        Err(_) => said("git", &["log", "-1", "--format=%ct"]),
    }
}

fn target_dir() -> Result<PathBuf> {
    let here = env::current_dir()?;
    Ok(here.join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into())))
}

fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut child = Command::new("gzip")
        .args(["-9", "--no-name", "--stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start gzip")?;
    let mut input = child.stdin.take().context("gzip has no input")?;
    let content = content.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&content));
    let output = child.wait_with_output()?;
    writer
        .join()
        .map_err(|_| anyhow::anyhow!("gzip's writer failed"))??;
    ensure!(output.status.success(), "gzip failed");
    Ok(output.stdout)
}

fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.to_owned())
}
