//! Functions on addresses and places.

use std::net::IpAddr;

use model::Prefix;

use super::{EvalError, Evaluated, Machine, Value, text};

/// As rules compare it.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// A network as `IpInRange` reads it: a mere address is none.
pub(crate) fn network(text: &str) -> Option<Prefix> {
    text.contains('/').then(|| text.parse().ok()).flatten()
}

pub(super) fn is_ip<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    Ok(Value::Bool(address(text("IsIP", arguments, 0)?).is_some()))
}

pub(super) fn is_ipv4<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    Ok(Value::Bool(
        address(text("IsIPV4", arguments, 0)?).is_some_and(|ip| ip.is_ipv4()),
    ))
}

pub(super) fn is_ipv6<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    Ok(Value::Bool(
        address(text("IsIPV6", arguments, 0)?).is_some_and(|ip| ip.is_ipv6()),
    ))
}

/// `IpInRange(ip, cidr)`: false for anything that is no address or no network.
pub(super) fn ip_in_range<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let (ip, range) = (
        text("IpInRange", arguments, 0)?,
        text("IpInRange", arguments, 1)?,
    );
    let inside = address(ip)
        .zip(network(range))
        .is_some_and(|(ip, range)| range.contains(ip));
    Ok(Value::Bool(inside))
}

/// `IpToRange(ip, "24")` or `"/24"`: the network as text, `""` when there is none.
pub(super) fn ip_to_range<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let (ip, len) = (
        text("IpToRange", arguments, 0)?,
        text("IpToRange", arguments, 1)?,
    );
    let len = len.strip_prefix('/').unwrap_or(len).parse::<u8>().ok();
    let range = address(ip)
        .zip(len)
        .and_then(|(ip, len)| Prefix::new(ip, len).ok());
    Ok(match range {
        Some(range) => Value::shared(format!("{}/{}", range.addr(), range.len())),
        None => Value::text(""),
    })
}

/// Kilometres between two places given as texts of degrees. 0 when one of them is 0,0: that is
/// what a failed geo lookup looks like.
pub(super) fn distance<'a>(_: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    const EARTH_RADIUS_KM: f64 = 6_371.0;
    let degrees = |i| {
        let text = text("Distance", arguments, i)?;
        text.parse::<f64>()
            .ok()
            .filter(|d| d.is_finite())
            .ok_or(EvalError::Function {
                function: "Distance",
                reason: "a coordinate is not a number",
            })
    };
    let (lat1, long1, lat2, long2) = (degrees(0)?, degrees(1)?, degrees(2)?, degrees(3)?);
    if (lat1 == 0.0 && long1 == 0.0) || (lat2 == 0.0 && long2 == 0.0) {
        return Ok(Value::Float(0.0));
    }
    let half_sin = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
    let cosines = lat1.to_radians().cos() * lat2.to_radians().cos();
    let h = half_sin(lat1, lat2) + cosines * half_sin(long1, long2);
    Ok(Value::Float(
        2.0 * EARTH_RADIUS_KM * h.sqrt().atan2((1.0 - h).sqrt()),
    ))
}
