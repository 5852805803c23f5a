//! Points of a walk from which another may go on.
//!
//! What a walk has done by some point hangs on the bytes it has looked at by then, and on nothing
//! else. Lines of one second and machine, and messages of one kind, have their first bytes in
//! common. So a walk leaves marks where captures begin and end: its whole state, and how many bytes
//! that state hangs on. A walk over a text that begins with the same bytes goes on from the last
//! such mark, and comes to exactly what it would have come to from the start.

use super::{Back, Slots};

/// Bytes of a text's beginning that are kept.
pub(super) const HEAD_BYTES: usize = 64;
/// Marks kept of one pattern.
const MARKS_MAX: usize = 6;
/// A mark so little behind the one before is not worth its making.
pub(super) const APART_MIN: usize = 8;
/// What a mark may hold.
const STACK_KEPT_MAX: usize = 64;
const SLOTS_KEPT_MAX: usize = 128;

/// The scratch memory of one pattern's walks.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(super) stack: Vec<Back>,
    /// How the text before began.
    head: Vec<u8>,
    /// In the order in which the walk over it came by; those after `used` are only memory.
    marks: Vec<Mark>,
    used: usize,
}

/// A walk's whole state.
#[derive(Debug, Default)]
pub(super) struct Mark {
    pub(super) step: u32,
    pub(super) at: usize,
    /// The state hangs on the bytes before this place.
    pub(super) seen: usize,
    /// Of the budget.
    pub(super) spent: usize,
    pub(super) slots: Slots,
    pub(super) stack: Vec<Back>,
}

impl Memory {
    /// The last mark that holds for this text too; stack and captures are then as they were there.
    /// Further marks will be this text's.
    pub(super) fn resume(&mut self, text: &[u8], slots: &mut Slots) -> Option<&Mark> {
        let head = text.get(..HEAD_BYTES).unwrap_or(text);
        let common = common(&self.head, head);
        let known = self.marks.get(..self.used).unwrap_or_default();
        let last = known.iter().rposition(|mark| mark.seen <= common);
        self.used = last.map_or(0, |last| last + 1);
        self.head.clear();
        self.head.extend_from_slice(head);
        let mark = self.marks.get(last?)?;
        slots.clone_from(&mark.slots);
        self.stack.clone_from(&mark.stack);
        Some(mark)
    }

    /// From which place on the next mark is worth its making.
    pub(super) fn next_mark(&self) -> usize {
        let last = self
            .used
            .checked_sub(1)
            .and_then(|last| self.marks.get(last));
        match last {
            Some(_) if self.used == MARKS_MAX => usize::MAX,
            Some(mark) => mark.at + APART_MIN,
            None => APART_MIN,
        }
    }

    /// Adds a mark, unless it hangs on too much; the stack's and the captures' state go with it.
    pub(super) fn keep(&mut self, mark: Mark, slots: &Slots) {
        let is_small = self.stack.len() <= STACK_KEPT_MAX && slots.len() <= SLOTS_KEPT_MAX;
        if mark.seen > self.head.len() || !is_small || self.used >= MARKS_MAX {
            return;
        }
        if self.marks.len() == self.used {
            self.marks.push(Mark::default());
        }
        if let Some(place) = self.marks.get_mut(self.used) {
            place.slots.clone_from(slots);
            place.stack.clone_from(&self.stack);
            let Mark {
                step,
                at,
                seen,
                spent,
                ..
            } = mark;
            (place.step, place.at, place.seen, place.spent) = (step, at, seen, spent);
            self.used += 1;
        }
    }
}

/// How many bytes at the front are the same.
fn common(one: &[u8], other: &[u8]) -> usize {
    let (ones, _) = one.as_chunks::<8>();
    let (others, _) = other.as_chunks::<8>();
    let words = ones.iter().zip(others).take_while(|(a, b)| a == b);
    let same = words.count() * 8;
    let rest = one.iter().zip(other).skip(same);
    same + rest.take_while(|(a, b)| a == b).count()
}
