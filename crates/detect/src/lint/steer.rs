//! Tries forged lines on the parsers: does the address change to the victim's?
//!
//! Each sample line is first parsed as it is. Of every shape of line a few are taken; into each
//! part of them that a client may have chosen goes what [`super::probe`] makes up, and the result
//! is parsed again. A forged line whose author is now the victim is a finding; it is an error when
//! a scenario that asks for a ban would count it.

use std::{cell::RefCell, collections::BTreeMap, collections::BTreeSet, ops::Range};

use model::{Severity, Timestamp};
use regex_automata::util::primitives::NonMaxUsize;

use super::{
    Code, Example, Finding, Report, Sample,
    probe::{self, Forgery, Owner, Place},
    read::{ParserDoc, Rules, Site},
};
use crate::{
    data_files,
    engine::DataFile,
    event::{Event, FieldMap, TimeMode},
    expr::{self, Env, Expr, Services, Vars},
    grok::Grok,
    parse::{NoTrace, ParseOutcome, Parsers, Trace},
    rules::RuleFile,
    symbols::{Sym, Symbols},
};

/// Lines of one shape that are tried.
const LINES_PER_SHAPE: usize = 2;
/// Longest sample line that is tried.
const LINE_BYTES_MAX: usize = 4_096;
/// Messages of one type of source that are put into clients' texts.
const IMITATIONS_MAX: usize = 24;
/// Forged lines of one sample, and of all.
const PROBES_PER_SAMPLE: u64 = 20_000;
const PROBES_MAX: u64 = 600_000;

/// The parsers, and the scenarios that end in a ban.
struct Bench {
    parsers: Parsers,
    symbols: Symbols,
    services: Services,
    event: Event,
    source_ip: Sym,
    message: Sym,
    bans: Vec<Expr>,
    /// By number of their site.
    groks: Vec<Option<Grok>>,
    effects: RefCell<Vec<expr::Effect>>,
}

/// Which parsers took a line, in order.
#[derive(Default)]
struct Takers {
    source_ip: Option<Sym>,
    all: Vec<String>,
    /// The one after which the address stood.
    author: Option<String>,
}

impl Trace for Takers {
    fn node(&mut self, _stage: &str, node: &str, event: &Event, ok: bool) {
        if !ok {
            return;
        }
        self.all.push(node.to_owned());
        let known = self
            .source_ip
            .is_some_and(|sym| !event.field(FieldMap::Meta, sym).is_empty());
        if known && self.author.is_none() {
            self.author = Some(node.to_owned());
        }
    }
}

impl Bench {
    fn new(rules: &Rules<'_>, files: &[RuleFile], data: &[DataFile]) -> Self {
        let mut symbols = Symbols::default();
        let mut ignored = Vec::new();
        let parsers = Parsers::build(files, &mut symbols, &mut ignored);
        let filters = rules.scenarios.iter().map(|doc| &doc.spec);
        let filters = filters.filter(|spec| spec.is_true("remediation"));
        let bans = filters
            .filter_map(|spec| {
                let text = &spec.filter.as_ref()?.value;
                expr::compile(text, Vars::Event, &mut symbols).ok()
            })
            .collect();
        let sites = rules.sites.iter();
        let groks = sites
            .map(|site| Grok::compile(&site.pattern.value, &rules.library, &mut symbols).ok())
            .collect();
        Self {
            services: Services {
                data: data_files::load(files, data, &mut ignored),
                ..Services::default()
            },
            source_ip: symbols.intern("source_ip"),
            message: symbols.intern("message"),
            parsers,
            symbols,
            event: Event::default(),
            bans,
            groks,
            effects: RefCell::default(),
        }
    }

    fn parse(&mut self, line: &str, sample: &Sample, trace: &mut dyn Trace) -> bool {
        let event = &mut self.event;
        event.reset(line);
        event.mode = TimeMode::Recording;
        event.time = Timestamp::EPOCH;
        event.source_name = event.write(&sample.name);
        event.module = event.write("file");
        for (key, value) in &sample.labels {
            let sym = self.symbols.intern(key);
            event.set_field(FieldMap::Labels, sym, value);
        }
        let Self {
            parsers,
            services,
            symbols,
            ..
        } = self;
        parsers.run(event, services, symbols, trace) == ParseOutcome::Parsed
    }

    /// Which grok of `rule` takes `address` from a text of the parsed line.
    fn site(&self, rules: &Rules<'_>, rule: &str, address: &str) -> Option<usize> {
        let event = &self.event;
        let parsed = event.parsed.iter();
        let texts: Vec<&str> = parsed.map(|(_, span)| event.read(span)).collect();
        let sites = rules.sites.iter().zip(&self.groks).enumerate();
        sites
            .filter(|(_, (site, _))| site.rule == rule)
            .find(|(_, (site, grok))| {
                let takes = |text: &str| {
                    let grok = grok.as_ref()?;
                    captures(grok, &self.symbols, site, text).filter(|found| found == address)
                };
                takes(event.line()).is_some() || texts.iter().any(|text| takes(text).is_some())
            })
            .map(|(number, _)| number)
    }

    fn address(&self) -> &str {
        self.event.field(FieldMap::Meta, self.source_ip)
    }

    /// Whether a scenario that asks for a ban counts the parsed line.
    fn counts(&self) -> bool {
        let env = Env::new(&self.event, &self.symbols, &self.services, &self.effects);
        let counts = self
            .bans
            .iter()
            .any(|filter| filter.test(&env).unwrap_or(false));
        self.effects.borrow_mut().clear();
        counts
    }
}

/// One parsed sample line.
struct Seen {
    line: String,
    address: String,
    places: Vec<Place>,
    /// Where the address stands in the line.
    at: Option<Range<usize>>,
    /// Which grok took it.
    site: Option<usize>,
}

/// Runs all samples, plain and forged. Returns the sites that took an address from one of them.
pub(super) fn samples(
    rules: &Rules<'_>,
    files: &[RuleFile],
    data: &[DataFile],
    samples: &[Sample],
    report: &mut Report,
) -> BTreeSet<usize> {
    let mut at_work = BTreeSet::new();
    if samples.is_empty() {
        return at_work;
    }
    let mut bench = Bench::new(rules, files, data);
    let mut reached = BTreeSet::new();
    for sample in samples {
        let before = report.probes;
        let (lines, imitations) = read(&mut bench, rules, sample, &mut reached, report);
        for seen in &lines {
            at_work.extend(seen.site);
            let done = report.probes - before;
            if done >= PROBES_PER_SAMPLE || report.probes >= PROBES_MAX {
                report.left_out += seen.places.len() as u64;
                continue;
            }
            attack(&mut bench, rules, sample, seen, &imitations, report);
        }
    }
    super::structure::unused(rules, &reached, report);
    at_work
}

/// Parses the sample as it is; keeps a few lines of each shape.
fn read(
    bench: &mut Bench,
    rules: &Rules<'_>,
    sample: &Sample,
    reached: &mut BTreeSet<String>,
    report: &mut Report,
) -> (Vec<Seen>, Vec<String>) {
    let mut shapes: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    let mut kept = Vec::new();
    let mut imitations = Vec::new();
    for line in &sample.lines {
        report.lines += 1;
        if line.len() > LINE_BYTES_MAX {
            continue;
        }
        let mut takers = Takers {
            source_ip: Some(bench.source_ip),
            ..Takers::default()
        };
        let parsed = bench.parse(line, sample, &mut takers);
        reached.extend(takers.all.iter().cloned());
        let address = bench.address().to_owned();
        if !parsed || address.is_empty() {
            continue;
        }
        let rule = takers.author.unwrap_or_default();
        let mut shape = takers.all;
        shape.extend(metas(bench));
        let count = shapes.entry(shape).or_default();
        *count += 1;
        if *count > LINES_PER_SHAPE {
            continue;
        }
        if *count == 1 && imitations.len() < IMITATIONS_MAX {
            let message = bench.event.field(FieldMap::Parsed, bench.message);
            let text = if message.contains(&address) {
                message
            } else {
                line
            };
            imitations.push(text.replace(&address, probe::victim("")));
        }
        let site = bench.site(rules, &rule, &address);
        kept.push(Seen {
            site,
            ..see(bench, line, address)
        });
    }
    (kept, imitations)
}

/// What kind of line it is: the names of its fields, and what its type is called.
fn metas(bench: &Bench) -> Vec<String> {
    let event = &bench.event;
    let mut all: Vec<String> = event
        .parsed
        .iter()
        .filter(|(_, span)| !span.is_empty())
        .map(|(sym, _)| bench.symbols.name(sym).to_owned())
        .collect();
    all.sort();
    for name in ["log_type", "sub_type", "service"] {
        if let Some(sym) = bench.symbols.lookup(name) {
            all.push(event.field(FieldMap::Meta, sym).to_owned());
        }
    }
    all
}

fn see(bench: &Bench, line: &str, address: String) -> Seen {
    let event = &bench.event;
    let mut places = Vec::new();
    let mut at = None;
    for (sym, span) in event.parsed.iter() {
        let range = span.range();
        // A captured part stands in the line itself; a computed one behind it.
        if range.end > line.len() || range.start >= range.end {
            continue;
        }
        let (text, name) = (event.read(span), bench.symbols.name(sym));
        if text == address {
            at = Some(range);
        } else if let Some(owner) = probe::owner(name, text) {
            places.push(Place {
                range,
                name: name.to_owned(),
                owner,
                escape: probe::Escape::None,
            });
        }
    }
    let at = at.or_else(|| {
        line.find(&address)
            .map(|start| start..start + address.len())
    });
    places.extend(probe::quoted(line));
    let inside = |place: &Place| {
        at.as_ref()
            .is_some_and(|at| place.range.start < at.end && at.start < place.range.end)
    };
    places.retain(|place| !inside(place) || place.owner == Owner::Forwarded);
    Seen {
        line: line.to_owned(),
        address,
        places,
        at,
        site: None,
    }
}

fn attack(
    bench: &mut Bench,
    rules: &Rules<'_>,
    sample: &Sample,
    seen: &Seen,
    imitations: &[String],
    report: &mut Report,
) {
    let victim = probe::victim(&seen.line);
    for place in &seen.places {
        let forgeries = probe::forge(&seen.line, place, seen.at.as_ref(), victim, imitations);
        for forgery in forgeries {
            report.probes += 1;
            let taken = bench.parse(&forgery.line, sample, &mut NoTrace);
            if !taken || bench.address() != victim {
                continue;
            }
            let doubtful = place.owner == Owner::Unknown || forgery.breaks_out;
            if doubtful && !bench.counts() {
                continue;
            }
            let found = finding(bench, rules, sample, seen, place, &forgery);
            let worst = found.severity == Severity::Error;
            report.findings.push(found);
            if worst {
                break;
            }
        }
    }
}

fn finding(
    bench: &mut Bench,
    rules: &Rules<'_>,
    sample: &Sample,
    seen: &Seen,
    place: &Place,
    forgery: &Forgery,
) -> Finding {
    let victim = probe::victim(&seen.line);
    let counts = bench.counts();
    let mut takers = Takers {
        source_ip: Some(bench.source_ip),
        ..Takers::default()
    };
    bench.parse(&forgery.line, sample, &mut takers);
    let rule = takers.author.unwrap_or_default();
    let doc = rules.parsers.iter().find(|doc| doc.name == rule);
    let (file, line, column) = locate(bench, rules, &rule, victim, doc);
    let header = place.owner == Owner::Forwarded;
    let certain = place.owner != Owner::Unknown && !forgery.breaks_out;
    let mut message = format!(
        "what a client writes as `{}` becomes the address of the line's author",
        place.name
    );
    if forgery.breaks_out {
        message += ", if the product writes quotes and brackets as they come";
    }
    if !counts {
        message += "; no scenario that bans counts this line";
    }
    Finding {
        severity: if counts && certain {
            Severity::Error
        } else {
            Severity::Warning
        },
        code: if header {
            Code::ClientHeader
        } else {
            Code::Steering
        },
        file,
        line,
        column,
        rule,
        message,
        example: Some(Example {
            line: forgery.line.clone(),
            taken_for: victim.to_owned(),
            written_by: seen.address.clone(),
        }),
        fix: fix(header, forgery.bare).to_owned(),
    }
}

const fn fix(header: bool, bare: bool) -> &'static str {
    if header {
        "take the address from the connection; believe the header only behind a proxy that sets \
         it, and give such sources a type label of their own"
    } else if bare {
        "take the address from where the product writes it, not from what a client sent"
    } else {
        "anchor the pattern with `^` and `$`, and give what stands between the client's text and \
         the address no second way to match: `.*` before an address that ends the line, `[^…]*` \
         up to a sign that the product escapes"
    }
}

/// The grok that took the victim for the author; else the document that did.
fn locate(
    bench: &Bench,
    rules: &Rules<'_>,
    rule: &str,
    victim: &str,
    doc: Option<&ParserDoc>,
) -> (String, u32, u32) {
    let site = bench.site(rules, rule, victim);
    if let Some(site) = site.and_then(|site| rules.sites.get(site)) {
        let file = rules.path(site.file).to_owned();
        return (file, site.pattern.line, site.pattern.column);
    }
    let Some(doc) = doc else {
        return (String::new(), 0, 0);
    };
    let file = rules.path(doc.file).to_owned();
    match doc.address.first() {
        Some(at) => (file, at.line, at.column),
        None => (file, doc.line, 1),
    }
}

/// What `grok` takes for the address in `text`.
pub(super) fn captures(grok: &Grok, symbols: &Symbols, site: &Site, text: &str) -> Option<String> {
    let (mut cache, mut slots): (_, Vec<Option<NonMaxUsize>>) = (grok.cache(), Vec::new());
    if !grok.matches(text, &mut cache, &mut slots) {
        return None;
    }
    grok.captures(&slots)
        .filter(|(sym, _)| site.address.contains(symbols.name(*sym)))
        .find_map(|(_, range)| {
            text.get(range?)
                .filter(|t| !t.is_empty())
                .map(str::to_owned)
        })
}
