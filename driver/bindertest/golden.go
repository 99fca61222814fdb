// SPDX-License-Identifier: Apache-2.0

package bindertest

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/tools/txtar"
)

// testdata holds transcripts: stock-RELEASE/SECTION.txt those of the stock driver,
// virtbinder/SECTION.txt ours where Differences says that they are others.
//
//go:embed testdata
var testdata embed.FS

// Golden is the transcript that the stock driver of a kernel release ("6.12") left.
func Golden(kernel, name string) (transcript string, ok bool) { return load("stock-"+kernel, name) }

// OurGolden is what virtbinder's transcript has to be where it is not the stock
// driver's: a scenario that Differences names, or one that no stock driver can run.
func OurGolden(name string) (transcript string, ok bool) { return load("virtbinder", name) }

// Recorded is what virtbinder's transcript has to be where there is no stock driver to
// compare with, and where in testdata it is from: OurGolden, or that of the newest
// kernel.
func Recorded(name string) (transcript, from string, ok bool) {
	for _, from := range []string{"virtbinder", "stock-" + newest} {
		if transcript, ok := load(from, name); ok {
			return transcript, from, true
		}
	}
	return "", "", false
}

// newest is the kernel whose stock driver can do the most.
const newest = "6.12"

func load(dir, name string) (string, bool) {
	return find(testdata, "testdata/"+dir+"/"+section(name)+".txt", name)
}

// find looks for a scenario's transcript in a file.
func find(tree fs.FS, file, name string) (string, bool) {
	b, err := fs.ReadFile(tree, file)
	if err != nil {
		return "", false
	}
	for _, f := range txtar.Parse(b).Files {
		if f.Name == name {
			return string(f.Data), true
		}
	}
	return "", false
}

func section(name string) string {
	s, _, _ := strings.Cut(name, "/")
	return s
}

// Record writes transcripts, by the names of their scenarios, to dir: one file for
// each section. What dir has of other scenarios stays.
func Record(dir string, transcripts map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files := map[string]*txtar.Archive{}
	for _, s := range Scenarios() {
		name := section(s.Name)
		got, ok := transcripts[s.Name]
		if !ok {
			if got, ok = find(os.DirFS(dir), name+".txt", s.Name); !ok {
				continue
			}
		}
		if files[name] == nil {
			files[name] = &txtar.Archive{}
		}
		files[name].Files = append(files[name].Files, txtar.File{Name: s.Name, Data: []byte(got)})
	}
	for name, a := range files {
		if err := os.WriteFile(filepath.Join(dir, name+".txt"), txtar.Format(a), 0o644); err != nil {
			return err
		}
	}
	return nil
}
