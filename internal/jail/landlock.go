// SPDX-License-Identifier: Apache-2.0

package jail

import (
	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// restrictFiles applies as much of Landlock as the kernel has, and returns its version.
func restrictFiles(r Rules) (abi int, err error) {
	abi, err = ll.LandlockGetABIVersion()
	if err != nil || abi <= 0 {
		return 0, nil // not built in, or not among the kernel's lsm=
	}
	config := landlock.V9.BestEffort()
	files := []landlock.Rule{
		landlock.RWDirs(r.Dirs...).WithResolveUnix(), // a guest's connections lead to sockets there
		landlock.ROFiles(r.Read...).IgnoreIfMissing(),
	}
	if err := config.RestrictPaths(files...); err != nil {
		return 0, err
	}
	if err := config.RestrictScoped(); err != nil {
		return 0, err
	}
	if r.Network {
		return abi, nil
	}
	return abi, config.RestrictNet()
}
