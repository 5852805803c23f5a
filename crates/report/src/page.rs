//! Paper: things are put one below the other, and go on on the next page where one is full.

use crate::typeface::{Face, Faces};

/// A4, in points.
pub(crate) const WIDTH: f32 = 595.28;
pub(crate) const HEIGHT: f32 = 841.89;
pub(crate) const MARGIN: f32 = 56.0;
pub(crate) const INNER: f32 = WIDTH - 2.0 * MARGIN;
const TOP: f32 = 70.0;
const BOTTOM: f32 = HEIGHT - 64.0;
/// Nobody reads more; what is more is in the pack's other files.
const PAGES_MAX: usize = 2_000;

pub(crate) const INK: Color = Color(0x1d, 0x24, 0x2c);
pub(crate) const FAINT: Color = Color(0x5c, 0x67, 0x73);
pub(crate) const RULE: Color = Color(0xc9, 0xd0, 0xd8);
pub(crate) const TINT: Color = Color(0xf1, 0xf4, 0xf7);
pub(crate) const ACCENT: Color = Color(0x1b, 0x4f, 0x8a);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Color(pub(crate) u8, pub(crate) u8, pub(crate) u8);

/// A thing on a page; `y` of a text is its base line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mark {
    Text {
        x: f32,
        y: f32,
        face: Face,
        size: f32,
        color: Color,
        text: String,
    },
    Box {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        color: Color,
    },
    Disc {
        x: f32,
        y: f32,
        radius: f32,
        color: Color,
    },
}

/// A chapter's heading, for the document's outline.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chapter {
    pub(crate) title: String,
    pub(crate) page: usize,
    pub(crate) y: f32,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Pages {
    pub(crate) pages: Vec<Vec<Mark>>,
    pub(crate) chapters: Vec<Chapter>,
}

pub(crate) struct Paper<'f> {
    pub(crate) faces: &'f Faces,
    done: Pages,
    page: Vec<Mark>,
    /// Where the next thing begins.
    pub(crate) y: f32,
    numbers: u32,
}

impl<'f> Paper<'f> {
    pub(crate) fn new(faces: &'f Faces) -> Self {
        Self {
            faces,
            done: Pages::default(),
            page: Vec::new(),
            y: TOP,
            numbers: 0,
        }
    }

    pub(crate) fn finish(mut self) -> Pages {
        self.turn();
        self.done
    }

    /// Goes on on a new page.
    pub(crate) fn turn(&mut self) {
        let page = std::mem::take(&mut self.page);
        if self.done.pages.len() < PAGES_MAX {
            self.done.pages.push(page);
        }
        self.y = TOP;
    }

    /// Turns the page when `height` does not fit any more; says whether it did.
    pub(crate) fn room_for(&mut self, height: f32) -> bool {
        let full = self.y + height > BOTTOM && self.y > TOP;
        if full {
            self.turn();
        }
        full
    }

    pub(crate) const fn space(&mut self, height: f32) {
        self.y += height;
    }

    pub(crate) fn put(&mut self, mark: Mark) {
        self.page.push(mark);
    }

    pub(crate) fn text(&mut self, (x, y): (f32, f32), face: Face, size: f32, text: &str) {
        self.colored((x, y), face, size, INK, text);
    }

    pub(crate) fn colored(
        &mut self,
        (x, y): (f32, f32),
        face: Face,
        size: f32,
        color: Color,
        text: &str,
    ) {
        let text = self.faces.printable(face, text);
        if !text.trim().is_empty() {
            self.put(Mark::Text {
                x,
                y,
                face,
                size,
                color,
                text,
            });
        }
    }

    pub(crate) fn line(&mut self, y: f32, color: Color) {
        self.put(Mark::Box {
            x: MARGIN,
            y,
            width: INNER,
            height: 0.6,
            color,
        });
    }

    /// A numbered chapter's heading; it does not stand alone at a page's end.
    pub(crate) fn chapter(&mut self, title: &str) {
        self.room_for(90.0);
        self.numbers += 1;
        let title = format!("{}  {title}", self.numbers);
        self.space(14.0);
        self.done.chapters.push(Chapter {
            title: title.clone(),
            page: self.done.pages.len(),
            y: self.y,
        });
        self.colored((MARGIN, self.y + 13.0), Face::Bold, 14.0, ACCENT, &title);
        self.line(self.y + 19.0, RULE);
        self.space(30.0);
    }

    pub(crate) fn heading(&mut self, title: &str) {
        self.room_for(50.0);
        self.space(4.0);
        for line in self.faces.wrap(Face::Bold, 10.0, INNER, title) {
            self.room_for(13.0);
            self.text((MARGIN, self.y + 9.0), Face::Bold, 10.0, &line);
            self.space(13.0);
        }
        self.space(3.0);
    }

    pub(crate) fn paragraph(&mut self, text: &str) {
        self.block(Face::Regular, 9.5, INK, text);
        self.space(5.0);
    }

    pub(crate) fn note(&mut self, text: &str) {
        self.block(Face::Regular, 8.0, FAINT, text);
        self.space(4.0);
    }

    /// Lines to be typed or compared letter by letter.
    pub(crate) fn code(&mut self, text: &str) {
        self.block(Face::Mono, 8.0, INK, text);
        self.space(5.0);
    }

    /// A point of a list.
    pub(crate) fn item(&mut self, text: &str) {
        const INDENT: f32 = 12.0;
        let lines = self.faces.wrap(Face::Regular, 9.5, INNER - INDENT, text);
        for (at, line) in lines.iter().enumerate() {
            self.room_for(12.8);
            if at == 0 {
                self.put(Mark::Disc {
                    x: MARGIN + 3.0,
                    y: self.y + 6.2,
                    radius: 1.5,
                    color: ACCENT,
                });
            }
            self.text((MARGIN + INDENT, self.y + 9.5), Face::Regular, 9.5, line);
            self.space(12.8);
        }
        self.space(2.0);
    }

    fn block(&mut self, face: Face, size: f32, color: Color, text: &str) {
        let height = size * 1.35;
        for line in self.faces.wrap(face, size, INNER, text) {
            self.room_for(height);
            self.colored((MARGIN, self.y + size), face, size, color, &line);
            self.space(height);
        }
    }

    /// A name and its value, the value in a column of its own.
    pub(crate) fn fact(&mut self, name: &str, value: &str) {
        self.fact_in(name, value, Face::Regular, 9.0);
    }

    /// A name whose value does not fit beside it and comes below.
    pub(crate) fn label(&mut self, name: &str) {
        self.room_for(26.0);
        self.colored((MARGIN, self.y + 9.0), Face::Regular, 9.0, FAINT, name);
        self.space(12.0);
    }

    pub(crate) fn fact_in(&mut self, name: &str, value: &str, face: Face, size: f32) {
        const COLUMN: f32 = 122.0;
        if value.trim().is_empty() {
            return;
        }
        let lines = self.faces.wrap(face, size, INNER - COLUMN, value);
        for (at, line) in lines.iter().enumerate() {
            self.room_for(12.4);
            if at == 0 {
                self.colored((MARGIN, self.y + 9.0), Face::Regular, 9.0, FAINT, name);
            }
            self.text((MARGIN + COLUMN, self.y + 9.0), face, size, line);
            self.space(12.4);
        }
        self.space(1.0);
    }
}
