// SPDX-License-Identifier: Apache-2.0

// Package docs finds the examples in the pages under docs, so that tests can run them.
package docs

import (
	"os"
	"path/filepath"
	"strings"

	"virtbinder/internal/lab"
)

// Block is a fenced block of a page.
type Block struct {
	Line int // of its first line, from 1
	Text string
}

// Blocks lists the blocks of a language in a page, by its name.
func Blocks(page, language string) ([]Block, error) {
	top, err := lab.FindTop()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(top, "docs", page))
	if err != nil {
		return nil, err
	}
	return blocks(string(text), language), nil
}

func blocks(text, language string) []Block {
	const fence = "```"
	var all []Block
	var open *Block
	number := 0
	for line := range strings.Lines(text) {
		number++
		switch mark := strings.TrimRight(line, "\n"); {
		case open != nil && mark == fence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.Text += line
		case mark == fence+language:
			open = &Block{Line: number + 1}
		}
	}
	return all
}
