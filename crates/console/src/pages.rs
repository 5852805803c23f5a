//! The templates and what is made of them. They are part of the program; nothing is built or read
//! at run time, and whatever they print is escaped.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value, context, value::Serde};
use model::Timestamp;
use serde::Serialize;

use crate::{
    picture::Version,
    rows::{AlertView, BanView, Moment, NoticeView, RefusalView},
    view::Overview,
};

/// One row, made by the macro that makes it on the page too.
macro_rules! row {
    ($name:literal) => {
        concat!(
            "{% from \"macros.html\" import ",
            $name,
            " %}{{ ",
            $name,
            "(row) }}"
        )
    };
}

const TEMPLATES: [(&str, &str); 17] = [
    ("layout.html", include_str!("../templates/layout.html")),
    ("macros.html", include_str!("../templates/macros.html")),
    ("overview.html", include_str!("../templates/overview.html")),
    ("headline.html", include_str!("../templates/headline.html")),
    ("figures.html", include_str!("../templates/figures.html")),
    ("charts.html", include_str!("../templates/charts.html")),
    ("sources.html", include_str!("../templates/sources.html")),
    ("channels.html", include_str!("../templates/channels.html")),
    ("ledger.html", include_str!("../templates/ledger.html")),
    ("alerts.html", include_str!("../templates/alerts.html")),
    ("alert.html", include_str!("../templates/alert.html")),
    ("bans.html", include_str!("../templates/bans.html")),
    ("error.html", include_str!("../templates/error.html")),
    ("row_alerts.html", row!("alert_row")),
    ("row_bans.html", row!("ban_row")),
    ("row_refusals.html", row!("refusal_row")),
    ("row_notices.html", row!("notice_row")),
];

/// Parts of the overview that are put in whole, with their templates.
const REGIONS: [(&str, &str); 6] = [
    ("headline", "headline.html"),
    ("figures", "figures.html"),
    ("charts", "charts.html"),
    ("sources", "sources.html"),
    ("channels", "channels.html"),
    ("ledger", "ledger.html"),
];

pub(crate) struct Pages {
    templates: Environment<'static>,
}

/// What a page that is open must change.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Update {
    /// Milliseconds, by the clock that all times on the page are by.
    pub(crate) now: i64,
    pub(crate) title: String,
    /// For screen readers.
    pub(crate) said: String,
    pub(crate) regions: BTreeMap<&'static str, String>,
    pub(crate) lists: BTreeMap<&'static str, Rows>,
}

/// The keys of all rows in their order, and those rows that are new or changed.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Rows {
    pub(crate) keys: Vec<String>,
    pub(crate) rows: BTreeMap<String, String>,
}

/// What one page has: regions are sent again only when they differ.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) version: Version,
    lists_sent: bool,
    regions: HashMap<&'static str, u64>,
}

trait Row: Serialize {
    fn key(&self) -> &str;
    fn version(&self) -> Version;
}

macro_rules! rows {
    ($($row:ty),*) => {$(
        impl Row for $row {
            fn key(&self) -> &str {
                &self.key
            }

            fn version(&self) -> Version {
                self.version
            }
        }
    )*};
}
rows!(AlertView, BanView, RefusalView, NoticeView);

impl Pages {
    pub(crate) fn new() -> Result<Self, Error> {
        let mut templates = Environment::new();
        // A name that is misspelt is an error that the tests see.
        templates.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
        for (name, text) in TEMPLATES {
            templates.add_template(name, text)?;
        }
        Ok(Self { templates })
    }

    pub(crate) fn render(&self, name: &str, context: Value) -> Result<String, Error> {
        self.templates.get_template(name)?.render(context)
    }

    pub(crate) fn overview(
        &self,
        overview: &Overview,
        host: &str,
        after: &str,
        now: Timestamp,
    ) -> Result<String, Error> {
        let page = context! {
            here => "/",
            host => host,
            after => after,
            now => value(&Moment::new(now, now)),
            ..value(overview)
        };
        self.render("overview.html", page)
    }

    /// What changed since `shown`, which is brought up to date with it.
    pub(crate) fn update(
        &self,
        overview: &Overview,
        shown: &mut Shown,
        version: Version,
        now: Timestamp,
    ) -> Result<Update, Error> {
        let mut update = Update {
            now: now.millis(),
            title: overview.title.clone(),
            ..Update::default()
        };
        let all = value(overview);
        for (region, template) in REGIONS {
            let html = self.render(template, all.clone())?;
            if shown.differs(region, &html) {
                update.regions.insert(region, html);
            }
        }
        if shown.differs("bans-total", &overview.bans_total) {
            let total = overview.bans_total.clone();
            update.regions.insert("bans-total", total);
        }
        if version != shown.version || !shown.lists_sent {
            let after = shown.version;
            let lists = [
                (
                    "alerts",
                    self.rows("row_alerts.html", &overview.alerts, after)?,
                ),
                ("bans", self.rows("row_bans.html", &overview.bans, after)?),
                (
                    "refusals",
                    self.rows("row_refusals.html", &overview.refusals, after)?,
                ),
                (
                    "notices",
                    self.rows("row_notices.html", &overview.notices, after)?,
                ),
            ];
            update.said = said(overview, after);
            update.lists.extend(lists);
            shown.version = version;
            shown.lists_sent = true;
        }
        Ok(update)
    }

    fn rows<R: Row>(&self, template: &str, list: &[R], after: Version) -> Result<Rows, Error> {
        let mut rows = Rows::default();
        for row in list {
            rows.keys.push(row.key().to_owned());
            if row.version() > after {
                let html = self.render(template, context! { row => value(row) })?;
                rows.rows.insert(row.key().to_owned(), html);
            }
        }
        Ok(rows)
    }
}

impl Shown {
    /// A page that has everything up to this version.
    pub(crate) fn up_to(version: Version) -> Self {
        Self {
            version,
            ..Self::default()
        }
    }

    fn differs(&mut self, region: &'static str, html: &str) -> bool {
        let mut hash = DefaultHasher::new();
        html.hash(&mut hash);
        let hash = hash.finish();
        self.regions.insert(region, hash) != Some(hash)
    }
}

/// A view as the templates take it.
pub(crate) fn value<T: Serialize + ?Sized>(view: &T) -> Value {
    Value::from(Serde(view))
}

/// A sentence for those who hear the page.
fn said(overview: &Overview, after: Version) -> String {
    let fresh =
        |versions: &mut dyn Iterator<Item = Version>| versions.filter(|v| *v > after).count();
    let bans = fresh(&mut overview.bans.iter().map(|b| b.version));
    let alerts = fresh(&mut overview.alerts.iter().map(|a| a.version));
    match (overview.bans.first(), bans, overview.alerts.first(), alerts) {
        (Some(ban), 1, ..) => format!("New ban: {}, {} in force.", ban.key, overview.bans_total),
        (_, 2.., ..) => format!("{bans} new bans, {} in force.", overview.bans_total),
        (_, 0, Some(alert), 1) => format!("Attack by {}.", alert.value),
        (_, 0, _, 2..) => format!("{alerts} attacks."),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use model::{News, Status};

    use super::*;
    use crate::{picture::Picture, samples, view};

    const BAD: &str = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    /// Attackers choose every text they can.
    fn hostile() -> Picture {
        let mut picture = Picture::default();
        let News {
            mut happening,
            seen,
        } = samples::alert("198.51.100.1", &format!("sshd: invalid user {BAD} from x"));
        if let model::Happening::Alert(alert) = &mut happening {
            alert.message = format!("user {BAD} failed");
            alert.value = BAD.into();
            alert.rule = BAD.into();
        }
        picture.hear(&News { seen, happening });
        let mut decision = samples::decision("198.51.100.1", at(1), at(90));
        decision.reason = BAD.into();
        decision.origin = model::Origin::Operator { name: BAD.into() };
        picture.hear(&News {
            seen,
            happening: model::Happening::Ban {
                decision,
                in_kernel: None,
            },
        });
        picture.hear(&samples::refusal("203.0.113.7"));
        picture.hear(&samples::notice(BAD));
        picture.read(&std::sync::Arc::new(Status {
            at: at(2),
            mode: "observe".into(),
            observing_because: Some(BAD.into()),
            sources: vec![model::SourceStatus {
                name: BAD.into(),
                r#type: BAD.into(),
                error: Some(BAD.into()),
                last_line: Some(at(1)),
                ..Default::default()
            }],
            channels: vec![model::ChannelStatus {
                name: BAD.into(),
                kind: BAD.into(),
                last_error: Some(BAD.into()),
                last_sent: Some(at(1)),
                dropped: 3,
                ..Default::default()
            }],
            recorder: model::RecordStatus {
                paused: Some(BAD.into()),
                ..Default::default()
            },
            ..Status::default()
        }));
        picture
    }

    fn assert_harmless(html: &str) {
        assert!(!html.contains("<script>alert"), "{html}");
        assert!(!html.contains("<img"), "{html}");
    }

    #[test]
    fn what_attackers_write_is_text_on_the_page() {
        let pages = Pages::new().unwrap();
        let picture = hostile();
        let overview = view::overview(&picture, BAD, at(3));
        let html = pages.overview(&overview, BAD, "1-1", at(3)).unwrap();
        assert_harmless(&html);
        // It is there to be read: line, message, value, reason, operator, source, notice …
        assert!(html.matches("&lt;script&gt;").count() >= 12, "{html}");
    }

    #[test]
    fn what_attackers_write_is_text_in_updates() {
        let pages = Pages::new().unwrap();
        let picture = hostile();
        let overview = view::overview(&picture, "host", at(3));
        let mut shown = Shown::default();
        let update = pages
            .update(&overview, &mut shown, picture.version, at(3))
            .unwrap();
        for html in update.regions.values() {
            assert_harmless(html);
        }
        let rows: Vec<&String> = update
            .lists
            .values()
            .flat_map(|l| l.rows.values())
            .collect();
        assert_eq!(rows.len(), 4);
        rows.iter().for_each(|html| assert_harmless(html));
    }

    #[test]
    fn an_update_carries_only_what_changed() {
        let pages = Pages::new().unwrap();
        let mut picture = Picture::default();
        let mut shown = Shown::default();
        let mut next = |picture: &Picture, seconds| {
            let overview = view::overview(picture, "host", at(seconds));
            pages
                .update(&overview, &mut shown, picture.version, at(seconds))
                .unwrap()
        };
        picture.hear(&samples::ban("198.51.100.1", at(1), at(500)));
        let first = next(&picture, 2);
        assert_eq!(first.lists["bans"].rows.len(), 1);
        assert_eq!(first.said, "New ban: 198.51.100.1, 1 in force.");
        let same = next(&picture, 2);
        assert!(same.lists.is_empty() && same.regions.is_empty(), "{same:?}");
        picture.hear(&samples::ban("198.51.100.2", at(3), at(500)));
        let second = next(&picture, 4);
        let bans = &second.lists["bans"];
        assert_eq!(bans.keys, ["198.51.100.2", "198.51.100.1"]);
        assert_eq!(bans.rows.len(), 1);
        assert!(bans.rows["198.51.100.2"].contains("in the kernel after 0.0 ms"));
    }

    #[test]
    fn an_alert_is_shown_again_when_its_ban_comes() {
        let pages = Pages::new().unwrap();
        let mut picture = Picture::default();
        picture.hear(&samples::alert("198.51.100.1", "a line"));
        let mut shown = Shown::up_to(picture.version);
        picture.hear(&samples::ban("198.51.100.1", at(1), at(500)));
        let overview = view::overview(&picture, "host", at(2));
        let update = pages
            .update(&overview, &mut shown, picture.version, at(2))
            .unwrap();
        let row = update.lists["alerts"].rows.values().next().unwrap();
        assert!(row.contains(">banned<"), "{row}");
    }
}
