//! The receiver's side: take, check, sign. And the sender's, when the receipt comes as a file.

use std::{
    fs::File,
    io::{Cursor, Read as _, Write},
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use casework::handover::{Handover, Standing, api::Receipt, sign};
use model::{ContentHash, Entry, HandoverAct, harmless};
use zip::ZipArchive;

use super::{
    TAG_MANIFEST,
    args::{ReceiveArgs, TakeArgs},
    door, json_file, local, number, sync,
};
use crate::{
    case_command::Desk,
    clock,
    exit::Exit,
    record::{Numbers, reading, record},
    refer_command::write_new,
};

const ACT_BYTES_MAX: u64 = 64 << 10;
const MANIFEST_BYTES_MAX: u64 = 4 << 20;

pub(super) fn run(arguments: &ReceiveArgs, out: &mut dyn Write) -> Result<Exit> {
    match (&arguments.offer, arguments.hub) {
        (_, true) => at_hub(arguments, out),
        (Some(offer), false) => carried(arguments, offer, out),
        (None, false) => bail!("say --hub, or --offer FILE for a package that was carried here"),
    }
}

fn at_hub(arguments: &ReceiveArgs, out: &mut dyn Write) -> Result<Exit> {
    let desk = Desk::at(&arguments.acting)?;
    let mut door = door(&desk.dir)?;
    let key = arguments.what.as_str();
    let told = door.show(key)?;
    let sum = Handover::of(&told.acts).context("what the hub tells of it does not fit")?;
    if sum.to != door.membership().organisation.to_string() {
        bail!("{key} is offered to {}, not to us", harmless(&sum.to));
    }
    let bytes = door.package(key, sum.bytes)?;
    check(&bytes, &sum)?;
    std::fs::create_dir_all(&arguments.to)?;
    let path = arguments.to.join(format!("{}.zip", key.replace('/', "-")));
    write_new(&path, &bytes)?;
    writeln!(out, "{} bytes in {}", bytes.len(), path.display())?;
    if !arguments.unsigned && sum.standing == Standing::Offered {
        let store = reading(&desk.dir)?;
        let receipt = receipt(&desk, &store, key, &sum);
        let HandoverAct::Received {
            at,
            by,
            manifest,
            key: vkey,
            signature,
            ..
        } = receipt
        else {
            bail!("no receipt was made");
        };
        let body = Receipt {
            at,
            by,
            manifest,
            key: vkey,
            signature,
        };
        let done = door.tell(key, "receipt", &body)?;
        writeln!(
            out,
            "{key} received, and signed for (the hub's entry {})",
            done.index
        )?;
    }
    sync(&desk.dir, &mut door)?;
    Ok(Exit::Success)
}

fn carried(arguments: &ReceiveArgs, offer: &Path, out: &mut dyn Write) -> Result<Exit> {
    let desk = Desk::at(&arguments.acting)?;
    let offer = act_file(offer)?;
    let sum = Handover::of([&offer])?;
    let bytes = std::fs::read(&arguments.what)
        .with_context(|| format!("cannot read {}", arguments.what))?;
    check(&bytes, &sum)?;
    let store = reading(&desk.dir)?;
    let _numbers = Numbers::lock(&desk.dir)?;
    let known = local(&store, &sum.id)?;
    let mut entries = Vec::new();
    match known.first() {
        None => entries.push(Entry::Handover(offer)),
        Some(first) if *first == offer => {}
        Some(_) => bail!("another hand-over goes by {} here", sum.id),
    }
    let mut sum = if known.is_empty() {
        sum
    } else {
        Handover::of(&known)?
    };
    let receipt = receipt(&desk, &store, &sum.id, &sum);
    sum.take(&receipt)?;
    entries.push(Entry::Handover(receipt.clone()));
    record(&desk.dir, entries)?;
    std::fs::create_dir_all(&arguments.to)?;
    let path = arguments
        .to
        .join(format!("{}.receipt.json", number(&sum.id)));
    write_new(&path, &json_file(&receipt)?)?;
    writeln!(
        out,
        "{} received; send {} back to {}",
        harmless(&sum.id),
        path.display(),
        harmless(&sum.from)
    )?;
    Ok(Exit::Success)
}

/// The sender takes a receipt in.
pub(super) fn take(arguments: &TakeArgs, out: &mut dyn Write) -> Result<Exit> {
    let desk = Desk::at(&arguments.acting)?;
    let act = act_file(&arguments.file)?;
    if !matches!(act, HandoverAct::Received { .. }) {
        bail!("{} is no receipt", arguments.file.display());
    }
    let id = act.handover().to_owned();
    let store = reading(&desk.dir)?;
    let _numbers = Numbers::lock(&desk.dir)?;
    let mut sum = Handover::of(&local(&store, &id)?)
        .with_context(|| format!("there is no offer {} here", harmless(&id)))?;
    sum.take(&act)?;
    record(&desk.dir, vec![Entry::Handover(act)])?;
    writeln!(
        out,
        "{}: {}",
        harmless(&id),
        harmless(&sum.in_words(clock::now()))
    )?;
    Ok(Exit::Success)
}

fn receipt(desk: &Desk, store: &store::Store, id: &str, sum: &Handover) -> HandoverAct {
    let mut act = HandoverAct::Received {
        at: clock::now(),
        handover: id.to_owned(),
        by: desk.by.clone(),
        manifest: sum.manifest,
        key: String::new(),
        signature: String::new(),
    };
    sign(&mut act, &store.vkey(), |text| store.sign_note(text));
    act
}

/// The bytes are those that were offered, and the bag in them is the one that was signed for.
fn check(bytes: &[u8], sum: &Handover) -> Result<()> {
    let found = ContentHash::of(bytes);
    if found != sum.package {
        bail!(
            "the package's SHA-256 is {found}, the offer says {}; do not sign, ask for it again",
            sum.package
        );
    }
    let manifest = manifest_of(bytes)?;
    if manifest != sum.manifest {
        bail!(
            "the bag's {TAG_MANIFEST} is {manifest}, the offer says {}; do not sign",
            sum.manifest
        );
    }
    Ok(())
}

/// The hash of the tag manifest of the bag in a ZIP file.
pub(super) fn manifest_of(bytes: &[u8]) -> Result<ContentHash> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).context("it is no ZIP file")?;
    let is_manifest = |name: &String| match name.split_once('/') {
        None => name == TAG_MANIFEST,
        Some((_, rest)) => rest == TAG_MANIFEST,
    };
    let names = archive.file_names().filter_map(Result::ok);
    let names: Vec<String> = names.map(|n| n.into_owned()).filter(is_manifest).collect();
    let [name] = names.as_slice() else {
        bail!("it holds no bag, or several: exactly one {TAG_MANIFEST} is expected");
    };
    let entry = archive.by_name(name)?;
    let mut manifest = Vec::new();
    entry
        .take(MANIFEST_BYTES_MAX + 1)
        .read_to_end(&mut manifest)?;
    if manifest.len() as u64 > MANIFEST_BYTES_MAX {
        bail!("its {TAG_MANIFEST} has more than {MANIFEST_BYTES_MAX} bytes");
    }
    Ok(ContentHash::of(&manifest))
}

fn act_file(path: &Path) -> Result<HandoverAct> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    let mut bytes = Vec::new();
    file.take(ACT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > ACT_BYTES_MAX {
        bail!("{shown} is no offer and no receipt: it is too long");
    }
    serde_json::from_slice(&bytes).with_context(|| format!("{shown} is no offer and no receipt"))
}
