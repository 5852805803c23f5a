//! The values of one event, by field, as written and in lower case. Reused from event to event.

use super::fields::FieldId;

/// Values of one event; further ones are left out and counted.
const VALUES_MAX: usize = 8_192;
/// No further value.
const END: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(super) struct Values {
    epoch: u64,
    slots: Vec<Slot>,
    entries: Vec<Entry>,
    text: String,
    lower: String,
    /// Fields with a value, in the order they came.
    pub(super) filled: Vec<FieldId>,
    /// Values left out since the start.
    pub(super) dropped: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    epoch: u64,
    first: u32,
    last: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    text: (u32, u32),
    lower: (u32, u32),
    is_null: bool,
    next: u32,
}

/// One value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'v> {
    pub(super) text: &'v str,
    pub(super) lower: &'v str,
    pub(super) is_null: bool,
}

impl Values {
    pub(super) fn begin(&mut self, fields: usize) {
        self.epoch += 1;
        self.slots.resize(fields, Slot::default());
        self.entries.clear();
        self.text.clear();
        self.lower.clear();
        self.filled.clear();
    }

    /// Gives `fields` the value.
    pub(super) fn add(&mut self, fields: &[FieldId], value: Option<&str>) {
        if fields.is_empty() {
            return;
        }
        let entry = self.write(value);
        fields.iter().for_each(|field| self.link(*field, entry));
    }

    fn write(&mut self, value: Option<&str>) -> Entry {
        let value_text = value.unwrap_or_default();
        let text = put(&mut self.text, |to| to.push_str(value_text));
        let lower = put(&mut self.lower, |to| {
            let start = to.len();
            if value_text.is_ascii() {
                to.push_str(value_text);
                if let Some(added) = to.get_mut(start..) {
                    added.make_ascii_lowercase();
                }
            } else {
                to.extend(value_text.chars().flat_map(char::to_lowercase));
            }
        });
        Entry {
            text,
            lower,
            is_null: value.is_none(),
            next: END,
        }
    }

    fn link(&mut self, field: FieldId, entry: Entry) {
        if self.entries.len() >= VALUES_MAX {
            self.dropped += 1;
            return;
        }
        let number = u32::try_from(self.entries.len()).unwrap_or(END);
        let Some(slot) = self.slots.get_mut(field as usize) else {
            return;
        };
        if slot.epoch == self.epoch {
            if let Some(last) = self.entries.get_mut(slot.last as usize) {
                last.next = number;
            }
            slot.last = number;
        } else {
            *slot = Slot {
                epoch: self.epoch,
                first: number,
                last: number,
            };
            self.filled.push(field);
        }
        self.entries.push(entry);
    }

    /// `to` has the values of `from` too.
    pub(super) fn copy(&mut self, from: FieldId, to: FieldId) {
        let mut next = self.first(from);
        let mut room = VALUES_MAX;
        while let Some(entry) = self.entries.get(next as usize).copied() {
            next = entry.next;
            room = room.saturating_sub(1);
            if from == to || room == 0 {
                return;
            }
            self.link(to, Entry { next: END, ..entry });
        }
    }

    fn first(&self, field: FieldId) -> u32 {
        self.slots
            .get(field as usize)
            .filter(|slot| slot.epoch == self.epoch)
            .map_or(END, |slot| slot.first)
    }

    pub(super) fn has(&self, field: FieldId) -> bool {
        self.first(field) != END
    }

    pub(super) fn of(&self, field: FieldId) -> impl Iterator<Item = Value<'_>> {
        let mut next = self.first(field);
        std::iter::from_fn(move || {
            let entry = self.entries.get(next as usize)?;
            next = entry.next;
            Some(Value {
                text: read(&self.text, entry.text),
                lower: read(&self.lower, entry.lower),
                is_null: entry.is_null,
            })
        })
    }

    /// The first value that is there and not empty.
    pub(super) fn one(&self, field: FieldId) -> Option<&str> {
        self.of(field)
            .map(|value| value.text)
            .find(|text| !text.is_empty())
    }
}

fn put(to: &mut String, write: impl FnOnce(&mut String)) -> (u32, u32) {
    let start = to.len();
    write(to);
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (narrow(start), narrow(to.len()))
}

fn read(from: &str, (start, end): (u32, u32)) -> &str {
    from.get(start as usize..end as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_all_their_values_until_the_next_event() {
        let mut values = Values::default();
        values.begin(3);
        values.add(&[1, 2], Some("ÄbC"));
        values.add(&[1], None);
        let all: Vec<(String, bool)> = values
            .of(1)
            .map(|v| (v.lower.to_owned(), v.is_null))
            .collect();
        assert_eq!(all, [("äbc".to_owned(), false), (String::new(), true)]);
        values.copy(1, 0);
        assert_eq!(values.of(0).count(), 2);
        assert_eq!(values.filled, [1, 2, 0]);
        values.begin(3);
        assert!(!values.has(1) && values.of(2).next().is_none());
    }

    #[test]
    fn values_are_bounded() {
        let mut values = Values::default();
        values.begin(2);
        for _ in 0..VALUES_MAX + 5 {
            values.add(&[1], Some("x"));
        }
        assert_eq!(values.of(1).count(), VALUES_MAX);
        assert_eq!(values.dropped, 5);
        values.copy(1, 1);
    }
}
