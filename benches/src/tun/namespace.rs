//! What is made in the kernel: a namespace, two TUN devices, addresses and routes. All of it goes when the value does; what a
//! killed run left is removed by the next one.

use anyhow::{Context, bail, ensure};
use nix::unistd::geteuid;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use tun_rs::{DeviceBuilder, SyncDevice};

/// One file for each namespace, by number: locked as long as its process lives, whatever ends it. Inside: the name.
const FOLDER: &str = "/run/consilium-link";
/// Namespaces at a time; the number is also the third byte of the address.
const NUMBERS: std::ops::Range<u8> = 0..250;
/// Networks for benchmarks, which nobody has at home: RFC 2544, appendix C.2.2.
const NETWORK: [u8; 2] = [198, 18];

/// The ends of the path.
pub(super) struct Devices {
    pub(super) host: SyncDevice,
    pub(super) guest: SyncDevice,
}

pub(super) struct Namespace {
    name: String,
    number: u8,
    record: File,
}

impl Namespace {
    /// Packets come out of `Devices` one by one: without offloads of its own, a TUN device gets no train that the kernel has not
    /// cut into packets.
    pub(super) fn create(name: Option<&str>, mtu: u16) -> anyhow::Result<(Self, Devices)> {
        ensure!(geteuid().is_root(), "consilium-link must run as root: it makes a network namespace and devices");
        ensure!(Path::new("/dev/net/tun").exists(), "this system has no TUN devices: /dev/net/tun is missing");
        let (record, number) = claim()?;
        let name = name.map_or_else(|| format!("consilium-link-{number}"), str::to_owned);
        ensure!(is_name(&name), "{name:?} is no name for a namespace");
        ensure!(!exists(&name), "a namespace {name:?} exists, and is not ours");
        let mut namespace = Self { name, number, record };
        namespace.note()?;
        ip(&["netns", "add", &namespace.name])?;
        let devices = namespace.connect(mtu).context("the namespace cannot be connected")?;
        Ok((namespace, devices))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn host_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(NETWORK[0], NETWORK[1], self.number, 1)
    }

    pub(super) fn guest_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(NETWORK[0], NETWORK[1], self.number, 2)
    }

    /// Before there is a namespace: one without a record would be nobody's.
    fn note(&mut self) -> anyhow::Result<()> {
        self.record.set_len(0)?;
        self.record.rewind()?;
        Ok(self.record.write_all(self.name.as_bytes())?)
    }

    fn connect(&self, mtu: u16) -> anyhow::Result<Devices> {
        let (outer, inner) = (format!("conlink{}", self.number), format!("conlink{}g", self.number));
        let devices = Devices { host: device(&outer, mtu)?, guest: device(&inner, mtu)? };
        let (host, guest) = (self.host_address().to_string(), self.guest_address().to_string());
        ip(&["link", "set", &inner, "netns", &self.name])?;
        let enter = ["-n", self.name.as_str()];
        for (enter, device, own, other) in [(&[][..], &outer, &host, &guest), (&enter[..], &inner, &guest, &host)] {
            let within = |words: &[&str]| ip(&[enter, words].concat());
            // No addresses of its own making: the only packets are those of the programs.
            within(&["link", "set", device, "addrgenmode", "none"])?;
            within(&["address", "add", own, "peer", other, "dev", device])?;
            within(&["link", "set", device, "up"])?;
        }
        ip(&[&enter[..], &["link", "set", "lo", "up"]].concat())?;
        ip(&[&enter[..], &["route", "add", "default", "dev", &inner]].concat())?;
        Ok(devices)
    }
}

impl Drop for Namespace {
    /// The devices go with their last descriptor.
    fn drop(&mut self) {
        let removed = if exists(&self.name) { ip(&["netns", "delete", &self.name]) } else { Ok(()) };
        match removed {
            // The file stays, for the next: whoever has it open would lock a name that is gone.
            Ok(()) => drop(self.record.set_len(0)),
            Err(error) => eprintln!("the namespace {} stays: {error:#}", self.name),
        }
    }
}

/// A free number, after everything that killed runs left has been removed.
fn claim() -> anyhow::Result<(File, u8)> {
    fs::create_dir_all(FOLDER).with_context(|| format!("{FOLDER} cannot be made"))?;
    let mut free = None;
    for number in NUMBERS {
        let path = Path::new(FOLDER).join(number.to_string());
        if !path.exists() && free.is_some() {
            continue;
        }
        let mut record = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path)?;
        match record.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(error).context("a record cannot be locked"),
        }
        let mut left = String::new();
        record.read_to_string(&mut left)?;
        if is_name(&left) && exists(&left) {
            eprintln!("removing the namespace {left} of a run that was killed");
            ip(&["netns", "delete", &left])?;
        }
        record.set_len(0)?;
        free.get_or_insert((record, number));
    }
    free.context("too many namespaces at once")
}

fn device(name: &str, mtu: u16) -> anyhow::Result<SyncDevice> {
    let device = DeviceBuilder::new().name(name).mtu(mtu).enable(false).build_sync().context("no TUN device")?;
    device.set_nonblocking(true)?;
    Ok(device)
}

fn exists(namespace: &str) -> bool {
    Path::new("/run/netns").join(namespace).exists()
}

/// A file name, and no option of a command.
fn is_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=64).contains(&name.len()) && !name.starts_with('-') && name.chars().all(is_letter)
}

fn ip(words: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(words).output().context("`ip` cannot be started: install iproute2")?;
    if !output.status.success() {
        bail!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_name_and_no_option() {
        assert!(is_name("anna") && is_name("consilium-link-0"));
        for wrong in ["", "-n", "a/b", "..", "a b", "ä"] {
            assert!(!is_name(wrong), "{wrong}");
        }
    }
}
