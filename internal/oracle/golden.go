// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"errors"
	"os"
	"path/filepath"
)

// keepGoldens replaces the transcripts in the source tree that are of this kernel.
func keepGoldens(top, series string) error {
	to := filepath.Join(top, "driver", "bindertest", "testdata", series)
	return errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(filepath.Join(outDir(top, series), goldenDir))))
}
