//! The default listeners accept IPv4 and IPv6 with any settings of the machine. Each server has its own network
//! namespace, in which the default ports are free.

use crate::rig::claviger::{Claviger, binary, write_policies};
use crate::rig::oidc::{ISSUER, TokenIssuer, allow};
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Output};

/// Brings the loopback interface up, applies the settings of the first argument, and runs the other arguments as a
/// command.
const MACHINE: &str = r"
import ctypes, fcntl, os, socket, struct, sys
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack('16sH22x', b'lo', 0x41))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING
def setting(name):
    with open('/proc/sys/net/ipv6/' + name, 'w') as file:
        file.write('1')
def without_the_family():  # a seccomp filter: socket(AF_INET6, ...) fails with EAFNOSUPPORT, as with ipv6.disable=1
    class Instruction(ctypes.Structure):
        _fields_ = [('code', ctypes.c_ushort), ('jt', ctypes.c_ubyte), ('jf', ctypes.c_ubyte), ('k', ctypes.c_uint)]
    class Program(ctypes.Structure):
        _fields_ = [('len', ctypes.c_ushort), ('filter', ctypes.POINTER(Instruction))]
    number = {'x86_64': 41, 'aarch64': 198}[os.uname().machine]
    lines = [(0x20, 0, 0, 0), (0x15, 0, 3, number), (0x20, 0, 0, 16), (0x15, 0, 1, socket.AF_INET6),
             (0x06, 0, 0, 0x50000 | 97), (0x06, 0, 0, 0x7fff0000)]
    program = Program(len(lines), (Instruction * len(lines))(*(Instruction(*line) for line in lines)))
    prctl = ctypes.CDLL(None).prctl
    assert prctl(38, 1, 0, 0, 0) == 0 and prctl(22, 2, ctypes.byref(program), 0, 0) == 0
{
    'both': lambda: None,
    'bindv6only': lambda: setting('bindv6only'),
    'disabled': lambda: setting('conf/all/disable_ipv6'),
    'absent': without_the_family,
}[sys.argv[1]]()
os.execv(sys.argv[2], sys.argv[2:])
";

struct Machine {
    claviger: Claviger,
    issuer: TokenIssuer,
}

impl Machine {
    /// Starts `claviger serve` on a machine of this kind, with only this under `server`.
    fn start(kind: &str, server: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let issuer = TokenIssuer::new();
        fs::write(at("jwks.json"), issuer.jwks().to_string()).unwrap();
        fs::write(at("secrets.yaml"), json!({"homelab/x": {"K": "v"}}).to_string()).unwrap();
        write_policies(&folder.path().join("policies"), &[("site", allow(&["homelab/x"], &json!({})))]);
        let oidc = json!({"issuer": ISSUER, "jwksFile": at("jwks.json"), "algorithms": ["ES256"]});
        let config = json!({
            "server": server,
            "authenticators": [{"name": "ci", "oidc": oidc}],
            "stores": [{"name": "local", "file": {"path": at("secrets.yaml")}}],
            "policies": {"directory": at("policies")},
            "database": {"url": format!("sqlite://{}", at("claviger.db"))},
        });
        fs::write(at("claviger.yaml"), config.to_string()).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--net", "--", "python3", "-c", MACHINE, kind]).arg(binary());
        command.args(["serve", "--config", &at("claviger.yaml")]);
        Self { claviger: Claviger::spawn_command(folder, command), issuer }
    }

    /// `curl` in the server's network.
    fn curl(&self, arguments: &[&str]) -> Output {
        let network = format!("--net=/proc/{}/ns/net", self.claviger.id());
        let mut command = Command::new("nsenter");
        command.args([&network, "curl", "-fsS", "--noproxy", "*", "--max-time", "10"]).args(arguments);
        command.output().unwrap()
    }

    /// Requests and redeems a ticket at this address. Returns the bundle.
    fn bundle(&self, host: &str) -> String {
        let bearer = format!("Authorization: Bearer {}", self.issuer.token(&json!({})));
        let form = ["-H", &bearer, "-H", "Accept: text/plain", "-d", "repo=site", "-d", "branch=main"];
        let url = format!("http://{host}:8080/v1/tickets");
        let asked = self.curl(&[&form[..], &[&url]].concat());
        assert!(asked.status.success(), "{host}: {asked:?}\n{}", self.claviger.log());
        let path = String::from_utf8(asked.stdout).unwrap().trim().strip_prefix("http://public").unwrap().to_owned();
        let redeemed = self.curl(&[&format!("http://{host}:8080{path}")]);
        String::from_utf8(redeemed.stdout).unwrap()
    }

    /// The source addresses in the audit events.
    fn sources(&self) -> Vec<String> {
        let events = self.claviger.audit_events();
        events.iter().map(|event| event["sourceIp"].as_str().unwrap().to_owned()).collect()
    }
}

const BUNDLE: &str = "export K='v'\n# claviger: 1 keys\n";

#[test]
fn a_default_configuration_answers_at_both_loopback_addresses() {
    for kind in ["both", "bindv6only"] {
        let machine = Machine::start(kind, &json!({"publicUrl": "http://public"}));
        assert_eq!((machine.claviger.api.port(), machine.claviger.ops.port()), (8080, 9090), "{kind}");
        assert_eq!(machine.bundle("127.0.0.1"), BUNDLE, "{kind}");
        assert_eq!(machine.bundle("[::1]"), BUNDLE, "{kind}");
        for host in ["127.0.0.1", "[::1]"] {
            let live = machine.curl(&[&format!("http://{host}:9090/livez")]);
            assert!(live.status.success(), "{kind} {host}: {live:?}");
        }
        assert_eq!(machine.sources(), ["127.0.0.1", "127.0.0.1", "::1", "::1"], "{kind}");
        let told = machine.claviger.log() + &machine.claviger.stdout();
        assert!(!told.contains("::ffff:"), "{kind}: {told}");
    }
}

#[test]
fn a_machine_without_ipv6_is_served_over_ipv4() {
    for (kind, api) in [("absent", "0.0.0.0:8080"), ("disabled", "[::]:8080")] {
        let machine = Machine::start(kind, &json!({"publicUrl": "http://public"}));
        assert_eq!(machine.claviger.api.to_string(), api, "{kind}");
        assert_eq!(machine.bundle("127.0.0.1"), BUNDLE, "{kind}");
        assert!(machine.curl(&["http://127.0.0.1:9090/livez"]).status.success(), "{kind}");
        assert_eq!(machine.sources(), ["127.0.0.1", "127.0.0.1"], "{kind}");
        let told = machine.claviger.count_logged("IPv6 is not available");
        assert_eq!(told, if kind == "absent" { 2 } else { 0 }, "{kind}");
    }
}

#[test]
fn an_address_of_one_family_listens_on_that_family_only() {
    for (listen, good, bad) in [("0.0.0.0:8080", "127.0.0.1", "[::1]"), ("[::1]:8080", "[::1]", "127.0.0.1")] {
        let machine = Machine::start("both", &json!({"publicUrl": "http://public", "listen": listen}));
        assert_eq!(machine.bundle(good), BUNDLE, "{listen}");
        let refused = machine.curl(&[&format!("http://{bad}:8080/")]);
        assert_eq!(refused.status.code(), Some(7), "{listen}: {refused:?}");
    }
}
