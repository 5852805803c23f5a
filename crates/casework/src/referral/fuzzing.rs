//! Doors for fuzzing. Not part of the data's way.

use std::net::IpAddr;

use super::{
    LineCut, Part,
    cut::{Cut, addresses},
};

/// The text without the words and without addresses but the one shown; and what of it would
/// still be held back.
pub fn clean(words: &[&str], shown: IpAddr, text: &str) -> (String, Option<String>) {
    let mut cut = Cut::default();
    cut.show_address(shown);
    words.iter().for_each(|word| cut.hide_word(word));
    let clean = cut.clean(text);
    let leak = cut.leak(&clean).map(str::to_owned);
    (clean, leak)
}

/// The part of a share with one source, at home or abroad, from which the words and one other
/// party's address are kept; and whether it would be held back.
pub fn part(words: &[&str], source: IpAddr, here: bool, bytes: &[u8]) -> (Part, bool) {
    let mut cut = Cut::default();
    cut.show_address(source);
    words.iter().for_each(|word| cut.hide_word(word));
    let mut lines = LineCut::new(&cut);
    lines.add_source(source, here);
    words.iter().for_each(|word| lines.add_account(word));
    let part = lines.part(bytes, &[]);
    let leaks = lines.leaks(&part.bytes);
    (part, leaks)
}

pub fn addresses_in(text: &str) -> Vec<IpAddr> {
    addresses(text).into_iter().map(|(_, a)| a).collect()
}
