//! Simulcast encodings of a section (RFC 8853, RFC 8851, and SSRC groups of RFC 5576). It refuses to know codecs.

use super::error::NegotiationError;
use consilium_media_core::ids::{Rid, Ssrc};
use consilium_media_core::limits::ENCODINGS_MAX;
use consilium_media_core::params::Encoding;
use rtc::sdp::description::common::Attribute;

/// The SDKs' names of the three encodings, lowest first.
const SDK_RIDS: [&str; 3] = ["q", "h", "f"];

/// How the far side announced what it sends on a section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Announced {
    /// Lowest layer first; never empty.
    pub(super) encodings: Vec<Encoding>,
    /// The stream ids in the order of the description, to be mirrored.
    pub(super) rids: Vec<Rid>,
    pub(super) style: Style,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Style {
    Plain,
    /// An `a=simulcast` line stood beside the stream ids.
    Simulcast,
}

pub(super) fn parse(attributes: &[Attribute]) -> Result<Announced, NegotiationError> {
    let (rids, style) = parse_rids(attributes)?;
    if rids.is_empty() {
        return Ok(Announced { encodings: by_ssrc(attributes)?, rids, style: Style::Plain });
    }
    let mut ranked = rids.clone();
    if ranked.iter().all(|rid| sdk_rank(*rid).is_some()) {
        ranked.sort_by_key(|rid| sdk_rank(*rid));
    }
    // Ranks are dense: a lone `f` is layer 0, since a track's lowest layer must exist.
    let encodings = ranked
        .into_iter()
        .zip(0u8..)
        .map(|(rid, layer)| Encoding { rid: Some(rid), ssrc: None, rtx_ssrc: None, layer })
        .collect();
    Ok(Announced { encodings, rids, style })
}

fn sdk_rank(rid: Rid) -> Option<usize> {
    SDK_RIDS.iter().position(|name| *name == rid.as_str())
}

fn values<'a>(attributes: &'a [Attribute], key: &'a str) -> impl Iterator<Item = &'a str> {
    attributes.iter().filter(move |a| a.key == key).filter_map(|a| a.value.as_deref()).map(str::trim)
}

/// Stream ids that the far side sends: those of `a=simulcast`, in its order, else those of `a=rid` alone.
fn parse_rids(attributes: &[Attribute]) -> Result<(Vec<Rid>, Style), NegotiationError> {
    let mut declared: Vec<Rid> = Vec::new();
    for line in values(attributes, "rid") {
        let mut words = line.split_whitespace();
        let (Some(name), Some(direction)) = (words.next(), words.next()) else {
            return Err(NegotiationError::Malformed);
        };
        if direction != "send" {
            continue;
        }
        let rid = Rid::new(name.as_bytes()).ok_or(NegotiationError::Malformed)?;
        if !declared.contains(&rid) {
            if declared.len() >= ENCODINGS_MAX {
                return Err(NegotiationError::TooManyEncodings);
            }
            declared.push(rid);
        }
    }
    let Some(list) = values(attributes, "simulcast").find_map(send_list) else {
        return Ok((declared, Style::Plain));
    };
    let mut ordered: Vec<Rid> = Vec::new();
    for alternatives in list.split(';') {
        // Of the alternatives the first is the preferred one; `~` marks an encoding that starts paused (RFC 8853).
        let first = alternatives.split(',').next().unwrap_or_default().trim_start_matches('~');
        let rid = Rid::new(first.as_bytes()).ok_or(NegotiationError::Malformed)?;
        if declared.contains(&rid) && !ordered.contains(&rid) {
            ordered.push(rid);
        }
    }
    Ok((ordered, Style::Simulcast))
}

/// The list after `send`. Older drafts wrote `send rid=a;b`.
fn send_list(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    while let Some(direction) = words.next() {
        let list = words.next()?;
        if direction == "send" {
            return Some(list.strip_prefix("rid=").unwrap_or(list));
        }
    }
    None
}

/// SSRC groups and plain SSRCs, for senders without stream ids.
fn by_ssrc(attributes: &[Attribute]) -> Result<Vec<Encoding>, NegotiationError> {
    let mut simulcast: Vec<Ssrc> = Vec::new();
    let mut pairs: Vec<(Ssrc, Ssrc)> = Vec::new();
    for line in values(attributes, "ssrc-group") {
        let mut words = line.split_whitespace();
        let semantics = words.next().unwrap_or_default();
        let mut members = Vec::new();
        for word in words {
            if members.len() >= ENCODINGS_MAX {
                return Err(NegotiationError::TooManyEncodings);
            }
            members.push(parse_ssrc(word)?);
        }
        match (semantics, members.as_slice()) {
            ("SIM", _) if simulcast.is_empty() => simulcast = members,
            ("FID", &[primary, repair, ..]) if pairs.len() < ENCODINGS_MAX => pairs.push((primary, repair)),
            _ => {}
        }
    }
    if simulcast.is_empty() {
        let first = pairs.first().map(|(primary, _)| *primary);
        simulcast.extend(match first {
            Some(ssrc) => Some(ssrc),
            None => match values(attributes, "ssrc").next() {
                Some(line) => Some(parse_ssrc(line.split_whitespace().next().unwrap_or_default())?),
                None => None,
            },
        });
    }
    let repair_of = |ssrc: Ssrc| pairs.iter().find(|(primary, _)| *primary == ssrc).map(|(_, repair)| *repair);
    let encodings: Vec<Encoding> = simulcast
        .into_iter()
        .zip(0u8..)
        .map(|(ssrc, layer)| Encoding { rid: None, ssrc: Some(ssrc), rtx_ssrc: repair_of(ssrc), layer })
        .collect();
    if encodings.is_empty() {
        return Ok(vec![Encoding { rid: None, ssrc: None, rtx_ssrc: None, layer: 0 }]);
    }
    Ok(encodings)
}

fn parse_ssrc(word: &str) -> Result<Ssrc, NegotiationError> {
    word.parse().map(Ssrc::new).map_err(|_| NegotiationError::Malformed)
}
