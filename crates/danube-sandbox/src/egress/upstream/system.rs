//! `getaddrinfo`, with the difference between "no such name" and "no answer" that the standard library hides.

use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

use super::resolve::Lookup;

/// Asks the host's resolver; may block for many seconds.
pub(super) fn addresses(name: &str) -> Lookup {
    let Ok(name) = CString::new(name) else { return Lookup::NoName };
    let Answer { code, list } = ask(&name);
    match code {
        0 => Lookup::Found(list),
        libc::EAI_NONAME | libc::EAI_NODATA => Lookup::NoName,
        _ => Lookup::Failed,
    }
}

struct Answer {
    code: i32,
    list: Vec<IpAddr>,
}

#[expect(unsafe_code, reason = "getaddrinfo is a C function; its error code is not to be had otherwise")]
fn ask(name: &CString) -> Answer {
    // SAFETY: `addrinfo` is plain data, for which all zeros is a valid value (no flags, null pointers).
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut first = ptr::null_mut();
    // SAFETY: the name is NUL-terminated, the hints live through the call, and `first` is written before it is read.
    let code = unsafe { libc::getaddrinfo(name.as_ptr(), ptr::null(), &raw const hints, &raw mut first) };
    let mut list = Vec::new();
    if code == 0 {
        let mut next: *const libc::addrinfo = first;
        // SAFETY: on success `first` heads a list of valid entries that ends with null and is freed only below.
        while let Some(entry) = unsafe { next.as_ref() } {
            // SAFETY: `ai_addr` of such an entry points to a socket address of the family that it names.
            list.extend(unsafe { address(entry.ai_addr) });
            next = entry.ai_next;
        }
        // SAFETY: the list came from `getaddrinfo`, is freed once, and nothing refers to it any more.
        unsafe { libc::freeaddrinfo(first) };
    }
    Answer { code, list }
}

/// # Safety
/// The pointer is null, or points to a socket address that is as long as its family's addresses are.
#[expect(unsafe_code, reason = "reads what getaddrinfo points to")]
unsafe fn address(socket: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: by this function's contract.
    match i32::from(unsafe { socket.as_ref() }?.sa_family) {
        libc::AF_INET => {
            // SAFETY: the family says that it is a `sockaddr_in`; getaddrinfo aligns its addresses for any of them.
            let v4 = unsafe { &*socket.cast::<libc::sockaddr_in>() };
            Some(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for `sockaddr_in6`.
            let v6 = unsafe { &*socket.cast::<libc::sockaddr_in6>() };
            Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}
