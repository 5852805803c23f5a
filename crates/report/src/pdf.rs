//! From marks on pages to the bytes of a PDF/A-2u.

use casework::Dossier;
use krilla::{
    Document, SerializeSettings,
    color::rgb,
    configure::{Archival, ConfigurationBuilder},
    destination::XyzDestination,
    geom::{Path, PathBuilder, Point, Rect},
    metadata::{DateTime, Metadata},
    outline::{Outline, OutlineNode},
    page::PageSettings,
    paint::Fill,
    surface::Surface,
    text::TextDirection,
};
use model::Timestamp;

use crate::{
    page::{Color, FAINT, HEIGHT, INNER, MARGIN, Mark, Pages, RULE, WIDTH},
    typeface::{Face, Faces},
};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    #[error("a font of the report cannot be read; this is a fault of the program")]
    Font,
    #[error("the report could not be made as PDF/A: {0}")]
    Pdf(String),
}

pub(crate) fn draw(
    pages: Pages,
    faces: &Faces,
    dossier: &Dossier,
    document_id: &str,
) -> Result<Vec<u8>, ReportError> {
    let mistake = |what: &dyn std::fmt::Debug| ReportError::Pdf(format!("{what:?}"));
    let configuration = ConfigurationBuilder::new()
        .with_archival_validator(Archival::A2_U)
        .finish()
        .map_err(|e| mistake(&e))?;
    let mut document = Document::new_with(SerializeSettings {
        configuration,
        ..SerializeSettings::default()
    });
    document.set_metadata(metadata(dossier, document_id));
    document.set_outline(outline(&pages));
    let total = pages.pages.len();
    for (number, marks) in (1..).zip(&pages.pages) {
        let settings = PageSettings::from_wh(WIDTH, HEIGHT).ok_or_else(|| mistake(&"a page"))?;
        let mut page = document.start_page_with(settings);
        let mut surface = page.surface();
        for mark in marks {
            draw_mark(&mut surface, faces, mark);
        }
        for mark in furniture(dossier, faces, number, total) {
            draw_mark(&mut surface, faces, &mark);
        }
        surface.finish();
        page.finish();
    }
    document.finish().map_err(|e| mistake(&e))
}

fn metadata(dossier: &Dossier, document_id: &str) -> Metadata {
    let case = &dossier.case;
    Metadata::new()
        .title(format!("{}: {}", case.id, case.title))
        .authors(vec![dossier.holder.clone()])
        .creator("Posse".to_owned())
        .producer("Posse".to_owned())
        .language("en".to_owned())
        .creation_date(date(dossier.now))
        .document_id(document_id.to_owned())
}

/// From RFC 3339 in UTC, as times print.
fn date(at: Timestamp) -> DateTime {
    let text = Timestamp::from_seconds(at.seconds()).to_string();
    let part = |from: usize, to: usize| text.get(from..to).and_then(|t| t.parse::<u16>().ok());
    let small = |from, to| {
        part(from, to)
            .and_then(|n| u8::try_from(n).ok())
            .unwrap_or_default()
    };
    DateTime::new(part(0, 4).unwrap_or_default())
        .month(small(5, 7))
        .day(small(8, 10))
        .hour(small(11, 13))
        .minute(small(14, 16))
        .second(small(17, 19))
        .utc_offset_hour(0)
        .utc_offset_minute(0)
}

fn outline(pages: &Pages) -> Outline {
    let mut outline = Outline::new();
    for chapter in &pages.chapters {
        let place = Point::from_xy(0.0, chapter.y);
        outline.push_child(OutlineNode::new(
            chapter.title.clone(),
            XyzDestination::new(chapter.page, place),
        ));
    }
    outline
}

/// What stands on every page.
fn furniture(dossier: &Dossier, faces: &Faces, number: usize, total: usize) -> Vec<Mark> {
    let case = &dossier.case;
    let text = |x: f32, y: f32, face: Face, text: String| Mark::Text {
        x,
        y,
        face,
        size: 7.6,
        color: FAINT,
        text: faces.printable(face, &text),
    };
    let right = |y: f32, face: Face, words: String| {
        let words = faces.printable(face, &words);
        let x = WIDTH - MARGIN - faces.width(face, 7.6, &words);
        text(x, y, face, words)
    };
    let line = |y: f32| Mark::Box {
        x: MARGIN,
        y,
        width: INNER,
        height: 0.5,
        color: RULE,
    };
    let bottom = HEIGHT - 36.0;
    vec![
        text(MARGIN, 40.0, Face::Bold, case.id.clone()),
        right(
            40.0,
            Face::Bold,
            format!("TLP:{}", case.tlp.name().to_uppercase()),
        ),
        line(46.0),
        line(bottom - 12.0),
        text(
            MARGIN,
            bottom,
            Face::Regular,
            format!("As of {}", casework::pack::seconds_utc(dossier.now)),
        ),
        right(bottom, Face::Regular, format!("page {number} of {total}")),
    ]
}

fn draw_mark(surface: &mut Surface<'_>, faces: &Faces, mark: &Mark) {
    match mark {
        Mark::Text {
            x,
            y,
            face,
            size,
            color,
            text,
        } => {
            surface.set_fill(Some(fill(*color)));
            let font = faces.font(*face).clone();
            let place = Point::from_xy(*x, *y);
            surface.draw_text(place, font, *size, text, false, TextDirection::Auto);
        }
        Mark::Box {
            x,
            y,
            width,
            height,
            color,
        } => {
            let path = Rect::from_xywh(*x, *y, *width, *height).and_then(|rect| {
                let mut builder = PathBuilder::new();
                builder.push_rect(rect);
                builder.finish()
            });
            draw_path(surface, path, *color);
        }
        Mark::Disc {
            x,
            y,
            radius,
            color,
        } => draw_path(surface, disc(*x, *y, *radius), *color),
    }
}

fn draw_path(surface: &mut Surface<'_>, path: Option<Path>, color: Color) {
    if let Some(path) = path {
        surface.set_fill(Some(fill(color)));
        surface.draw_path(&path);
    }
}

/// Four arcs; the number is the usual one that makes a cubic curve nearly a quarter circle.
fn disc(x: f32, y: f32, r: f32) -> Option<Path> {
    let k = 0.552_284_8 * r;
    let mut builder = PathBuilder::new();
    builder.move_to(x + r, y);
    builder.cubic_to(x + r, y + k, x + k, y + r, x, y + r);
    builder.cubic_to(x - k, y + r, x - r, y + k, x - r, y);
    builder.cubic_to(x - r, y - k, x - k, y - r, x, y - r);
    builder.cubic_to(x + k, y - r, x + r, y - k, x + r, y);
    builder.close();
    builder.finish()
}

fn fill(color: Color) -> Fill {
    Fill {
        paint: rgb::Color::new(color.0, color.1, color.2).into(),
        ..Fill::default()
    }
}
