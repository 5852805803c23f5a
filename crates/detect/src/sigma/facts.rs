//! What an alert says of an event: who, where, when. Looked up in the names that the common
//! schemas use.

use std::net::IpAddr;

use model::Timestamp;

use super::{
    fields::{FieldId, Fields},
    values::Values,
};
use crate::dates;

const ADDRESSES: &[&str] = &[
    "src_ip",
    "c-ip",
    "IpAddress",
    "sourceIPAddress",
    "sourceIPs",
    "client.ipAddress",
    "callerIpAddress",
    "protoPayload.requestMetadata.callerIp",
    "ClientIP",
    "ClientIPAddress",
    "remote_addr",
    "addr",
];

const HOSTS: &[&str] = &[
    "Computer",
    "host.name",
    "host.hostname",
    "hostname",
    "node",
    "devname",
];

const USERS: &[&str] = &[
    "User",
    "TargetUserName",
    "SubjectUserName",
    "user.name",
    "user.username",
    "userIdentity.arn",
    "actor.alternateId",
    "protoPayload.authenticationInfo.principalEmail",
    "UserId",
    "acct",
];

const TIMES: &[&str] = &[
    "TimeCreated_SystemTime",
    "@timestamp",
    "eventTime",
    "requestReceivedTimestamp",
    "published",
    "UtcTime",
    "CreationTime",
    "timestamp",
    "time",
    "ts",
];

/// Where the facts stand.
#[derive(Debug)]
pub(super) struct FactFields {
    addresses: Vec<FieldId>,
    hosts: Vec<FieldId>,
    users: Vec<FieldId>,
    times: Vec<FieldId>,
}

impl FactFields {
    pub(super) fn new(fields: &mut Fields) -> Self {
        let mut all = |names: &[&str]| names.iter().map(|name| fields.intern(name)).collect();
        Self {
            addresses: all(ADDRESSES),
            hosts: all(HOSTS),
            users: all(USERS),
            times: all(TIMES),
        }
    }

    /// The address that caused the event.
    pub(super) fn address(&self, values: &Values) -> Option<IpAddr> {
        self.addresses.iter().find_map(|field| {
            let text = values.one(*field)?.trim();
            let address: IpAddr = text.parse().ok()?;
            (!address.is_unspecified()).then_some(address)
        })
    }

    pub(super) fn host<'v>(&self, values: &'v Values) -> Option<&'v str> {
        self.hosts.iter().find_map(|field| values.one(*field))
    }

    pub(super) fn user<'v>(&self, values: &'v Values) -> Option<&'v str> {
        self.users.iter().find_map(|field| values.one(*field))
    }

    /// When it happened, by itself.
    pub(super) fn time(&self, values: &Values, now: Timestamp) -> Option<Timestamp> {
        self.times
            .iter()
            .find_map(|field| moment(values.one(*field)?.trim(), now))
    }
}

/// A date in one of the forms that structured logs use; without a zone it is universal time.
fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(date) = dates::read_rfc3339(text, now) {
        return Some(date.time);
    }
    if text.len() >= 19 && text.is_ascii() {
        let joined = format!("{}Z", text.replacen(' ', "T", 1));
        if let Some(date) = dates::read_rfc3339(&joined, now) {
            return Some(date.time);
        }
    }
    let seconds: f64 = text.parse().ok()?;
    epoch(seconds)
}

/// Seconds, milliseconds or microseconds since 1970, told apart by their size.
fn epoch(number: f64) -> Option<Timestamp> {
    let nanos = match number {
        n if n >= 1e15 => n * 1e3,
        n if n >= 1e12 => n * 1e6,
        n if n >= 1e8 => n * 1e9,
        _ => return None,
    };
    (nanos < 9.2e18).then(|| Timestamp::from_nanos(nanos as i64))
}

/// The time of a Linux audit record: `msg=audit(1700000000.123:42):`.
pub(super) fn audit_time(line: &str) -> Option<Timestamp> {
    let (_, after) = line.split_once("msg=audit(")?;
    let (seconds, _) = after.split_once(':')?;
    epoch(seconds.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_their_usual_forms() {
        let at = |text: &str| moment(text, Timestamp::EPOCH).map(Timestamp::nanos);
        let wanted = Some(1_700_000_000_000_000_000);
        assert_eq!(at("2023-11-14T22:13:20Z"), wanted);
        assert_eq!(at("2023-11-14 22:13:20.000"), wanted);
        assert_eq!(at("2023-11-14T23:13:20+01:00"), wanted);
        assert_eq!(at("1700000000"), wanted);
        assert_eq!(at("1700000000000"), wanted);
        assert_eq!(at("soon"), None);
        assert_eq!(at("1e300"), None);
        assert_eq!(
            audit_time("type=X msg=audit(1700000000.000:42): a=1").map(Timestamp::nanos),
            wanted
        );
    }
}
