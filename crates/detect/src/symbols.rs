//! Field names as small numbers, so that reading `evt.Parsed.program` compares integers.

use std::sync::Arc;

use hashbrown::HashMap;

/// Bytes of a field name that comes up while lines are read.
const NAME_BYTES_MAX: usize = 256;

/// An interned field name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sym(u32);

impl Sym {
    /// The number behind the name: good for the life of its [`Symbols`] only.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// The table of field names. Filled while rules load; grows at run time only through
/// [`Symbols::intern_bounded`].
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    names: Vec<Arc<str>>,
    index: HashMap<Arc<str>, Sym>,
}

impl Symbols {
    pub fn intern(&mut self, name: &str) -> Sym {
        if let Some(sym) = self.index.get(name) {
            return *sym;
        }
        let sym = Sym(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.index.insert(name, sym);
        sym
    }

    /// Like [`Symbols::intern`], but never grows past `max` names, nor by a very long one.
    pub fn intern_bounded(&mut self, name: &str, max: usize) -> Option<Sym> {
        match self.lookup(name) {
            Some(sym) => Some(sym),
            None if self.names.len() < max && name.len() <= NAME_BYTES_MAX => {
                Some(self.intern(name))
            }
            None => None,
        }
    }

    pub fn lookup(&self, name: &str) -> Option<Sym> {
        self.index.get(name).copied()
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Forgets the names that came after the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        for name in self.names.drain(len.min(self.names.len())..) {
            self.index.remove(&name);
        }
    }

    /// The symbol with this [`Sym::number`].
    pub fn by_number(&self, number: u32) -> Option<Sym> {
        ((number as usize) < self.names.len()).then_some(Sym(number))
    }

    pub fn name(&self, sym: Sym) -> &str {
        self.names.get(sym.0 as usize).map_or("", |name| &**name)
    }
}
