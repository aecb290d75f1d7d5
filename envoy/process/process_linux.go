package process

import "syscall"

// attributes keep a terminal's Ctrl-C from Envoy (it has a process group of its own: Dragoman drains it first), and let it die with
// Dragoman.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
