//! Names of variables with which a shell, the dynamic loader or a build tool runs other code, or takes code, settings or
//! trust anchors from another place. Anyone who may write to the store chooses the names of secrets, so such a
//! name is rendered for a shell only if a policy contains it literally.
//!
//! No such list is complete, since any program may have its own variables. This list has the variables of shells, those
//! that the C library ignores in privileged programs, and those of the interpreters and tools that build images
//! usually contain. If a family of names includes ordinary secrets (`NPM_TOKEN`, `CARGO_REGISTRY_TOKEN`,
//! `RUBYGEMS_API_KEY`, `GIT_PASSWORD`, `PIP_INDEX_URL`), its dangerous members are listed one by one. All of `LD_`
//! and `DYLD_` is refused, because loaders differ; a policy that needs an ordinary name such as `LD_SDK_KEY` lists
//! it in `keys`.
//!
//! Proxies (`HTTPS_PROXY`, `no_proxy`) are not in the list: they redirect traffic and execute nothing, TLS still
//! authenticates the other end, and a proxy address with a password is an ordinary build secret. Variables that
//! disable this authentication (`SSL_CERT_FILE`, `NODE_TLS_REJECT_UNAUTHORIZED`) are in the list.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Names that are not ordinary variables in some shell: bash, dash, busybox or mksh refuses the assignment, drops the value, or
/// evaluates it as an arithmetic expression, which executes code in it. `tests/it/render` checks the names with these shells.
const RESERVED_BY_SHELLS: &str = "
    _ BASHOPTS BASHPID BASH_ARGC BASH_ARGV BASH_COMMAND BASH_LINENO BASH_MONOSECONDS BASH_SOURCE BASH_SUBSHELL
    BASH_VERSINFO DIRSTACK EPOCHREALTIME EPOCHSECONDS EUID FUNCNAME GROUPS HISTCMD LINENO OPTIND PGRP PIPESTATUS PPID
    RANDOM SECONDS SHELLOPTS SRANDOM UID USER_ID
";

/// The lists of dangerous names. A star stands for any ending. [`can_run_code`] adds those that shells reserve, and those of Python and npm.
const DANGEROUS_NAMES: [&str; 6] =
    [READ_BY_SHELLS, READ_BY_LIBRARIES, READ_BY_INTERPRETERS, READ_BY_GIT, READ_BY_TOOLS, CHANGES_TLS_TRUST];

/// Variables of shells: search paths and word splitting; files that are sourced, commands that are executed and values
/// that are expanded; values that mksh, ksh and zsh evaluate as numbers, which executes code in them; settings that change
/// how the rest of a script is parsed; files that are written.
const READ_BY_SHELLS: &str = "
    PATH IFS HOME SHELL PWD OLDPWD CDPATH FPATH MODULE_PATH ZDOTDIR
    ENV BASH BASH_* PS0 PS1 PS2 PS3 PS4 PROMPT_COMMAND FCEDIT INPUTRC MAILPATH NULLCMD READNULLCMD ARGV0 TEXTDOMAIN
    TEXTDOMAINDIR
    ARGC COLUMNS LINES EGID GID ERRNO FUNCNEST HISTSIZE HISTFILESIZE SAVEHIST JOBMAX KSHEGID KSHEUID KSHGID KSHUID
    KSH_VERSION MAILCHECK SHLVL TMOUT TRY_BLOCK_ERROR TRY_BLOCK_INTERRUPT TTYIDLE
    OPTARG OPTERR POSIXLY_CORRECT GLOBIGNORE GLOBSORT EXECIGNORE FIGNORE TIMEFORMAT IGNOREEOF ignoreeof CHILD_MAX
    HOSTFILE HISTFILE HISTCONTROL HISTIGNORE HISTTIMEFORMAT HISTCHARS histchars auto_resume KEYBOARD_HACK TMPPREFIX
    COMP_WORDBREAKS PROMPT_DIRTRIM
";

/// Variables of the dynamic loader, those that glibc ignores in privileged programs (its unsecvars.h), and locations of
/// settings.
const READ_BY_LIBRARIES: &str = "
    LD_* DYLD_*
    GCONV_PATH GETCONF_DIR GLIBC_TUNABLES HOSTALIASES LOCALDOMAIN LOCPATH MALLOC_TRACE NIS_PATH NLSPATH
    RESOLV_HOST_CONF RES_OPTIONS TMPDIR TZDIR
    TERMCAP TERMINFO TERMINFO_DIRS
    XDG_CACHE_HOME XDG_CONFIG_DIRS XDG_CONFIG_HOME XDG_DATA_DIRS XDG_DATA_HOME XDG_RUNTIME_DIR XDG_STATE_HOME
";

/// Variables of interpreters: locations of code, and options that load code. Python's are in [`can_run_code`].
const READ_BY_INTERPRETERS: &str = "
    NODE_OPTIONS NODE_PATH NODE_REPL_EXTERNAL_MODULE NODE_COMPILE_CACHE NODE_V8_COVERAGE NODE_REDIRECT_WARNINGS
    BUN_OPTIONS
    PERL5* PERLLIB PERL_MB_OPT PERL_MM_OPT
    RUBYOPT RUBYLIB RUBYPATH RUBYSHELL GEM_HOME GEM_PATH BUNDLE_GEMFILE
    JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS JAVA_OPTS JAVA_HOME CLASSPATH MAVEN_OPTS MAVEN_ARGS GRADLE_OPTS
    ANT_OPTS SBT_OPTS
    DOTNET_STARTUP_HOOKS DOTNET_ADDITIONAL_DEPS DOTNET_SHARED_STORE DOTNET_ROOT CORECLR_* COR_ENABLE_PROFILING
    COR_PROFILER COR_PROFILER_PATH
    PHPRC PHP_INI_SCAN_DIR LUA_INIT* LUA_PATH* LUA_CPATH* TCLLIBPATH AWKPATH AWKLIBPATH
    ERL_AFLAGS ERL_FLAGS ERL_ZFLAGS ERL_LIBS ELIXIR_ERL_OPTIONS
    R_PROFILE R_PROFILE_USER R_ENVIRON R_ENVIRON_USER R_LIBS R_LIBS_USER JULIA_LOAD_PATH JULIA_DEPOT_PATH
";

/// Variables of git and ssh: commands that they run, and locations of git's settings and repositories. `GIT_CONFIG_COUNT` with its
/// keys and values can set any setting; `GIT_TRACE` and similar variables write to any file.
const READ_BY_GIT: &str = "
    GIT_SSH GIT_SSH_COMMAND GIT_SSH_VARIANT GIT_ASKPASS SSH_ASKPASS SSH_ASKPASS_REQUIRE GIT_EDITOR GIT_SEQUENCE_EDITOR
    GIT_PAGER GIT_EXTERNAL_DIFF GIT_PROXY_COMMAND GIT_EXEC_PATH GIT_TEMPLATE_DIR GIT_DIR GIT_WORK_TREE GIT_COMMON_DIR
    GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_ALLOW_PROTOCOL GIT_PROTOCOL_FROM_USER
    GIT_ATTR_SOURCE GIT_REDIRECT_STDIN GIT_REDIRECT_STDOUT GIT_REDIRECT_STDERR GIT_CONFIG* GIT_TRACE*
";

/// Variables of other tools: commands that they run, and their options and settings. npm's are in [`can_run_code`]. With
/// `CLAVIGER_URL` the client commands of Claviger would send the next token to another server.
const READ_BY_TOOLS: &str = "
    EDITOR VISUAL PAGER MANPAGER BROWSER LESS LESSOPEN LESSCLOSE SUDO_ASKPASS TAR_OPTIONS RSYNC_RSH CVS_RSH WGETRC
    CURL_HOME RIPGREP_CONFIG_PATH
    MAKEFLAGS MFLAGS GNUMAKEFLAGS MAKEFILES CC CXX CPP LD AR GCC_EXEC_PREFIX COMPILER_PATH
    CARGO_HOME CARGO_ENCODED_RUSTFLAGS CARGO_ALIAS_* CARGO_BUILD_* CARGO_TARGET_* RUSTC RUSTC_WRAPPER
    RUSTC_WORKSPACE_WRAPPER RUSTDOC RUSTFLAGS RUSTDOCFLAGS
    GOENV GOFLAGS GOROOT GOTOOLCHAIN GOTOOLDIR
    YARN_RC_FILENAME YARN_YARN_PATH YARN_PLUGINS COREPACK_NPM_REGISTRY COREPACK_INTEGRITY_KEYS
    CLAVIGER_*
";

/// Variables that change which TLS certificates are trusted, or that log TLS keys.
const CHANGES_TLS_TRUST: &str = "
    SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE REQUESTS_CA_BUNDLE AWS_CA_BUNDLE NODE_EXTRA_CA_CERTS
    NODE_TLS_REJECT_UNAUTHORIZED GIT_SSL_NO_VERIFY GIT_SSL_CAINFO GIT_SSL_CAPATH PIP_TRUSTED_HOST
    OPENSSL_CONF OPENSSL_ENGINES OPENSSL_MODULES SSLKEYLOGFILE
";

/// Whether shells reserve the name. Such a name is never exported, even if a policy contains it.
pub(super) fn is_reserved_by_shells(name: &str) -> bool {
    static RESERVED: LazyLock<NameSet> = LazyLock::new(|| NameSet::from_lists(&[RESERVED_BY_SHELLS]));
    RESERVED.contains(name)
}

/// Whether a variable of this name can make a shell or another program run code.
pub(super) fn can_run_code(name: &str) -> bool {
    static DANGEROUS: LazyLock<NameSet> = LazyLock::new(|| NameSet::from_lists(&DANGEROUS_NAMES));
    // The names that Python uses have no underscore after `PYTHON` (PYTHONPATH, PYTHONSTARTUP); node-gyp runs the program
    // in `PYTHON`.
    let is_python = name.starts_with("PYTHON") && !name.starts_with("PYTHON_");
    // npm reads these settings (script-shell, git, node-options, ...) in upper and lower case.
    let is_npm = name.get(..11).is_some_and(|family| family.eq_ignore_ascii_case("npm_config_"));
    is_python || is_npm || is_reserved_by_shells(name) || DANGEROUS.contains(name)
}

/// The names of some lists, in a form for fast look-ups, because the name of every key is looked up.
struct NameSet {
    names: HashSet<&'static str>,
    prefixes: Vec<&'static str>,
}

impl NameSet {
    fn from_lists(lists: &[&'static str]) -> Self {
        let all = || lists.iter().flat_map(|list| list.split_ascii_whitespace());
        Self {
            names: all().filter(|name| !name.ends_with('*')).collect(),
            prefixes: all().filter_map(|name| name.strip_suffix('*')).collect(),
        }
    }

    fn contains(&self, name: &str) -> bool {
        self.names.contains(name) || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }
}
