// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/zip"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// rows reads a CSV file with a header line.
type rows struct {
	columns []string
	csv     *csv.Reader
	closers []io.Closer
}

// openRows opens a plain file, or the one CSV file of a zip archive.
func openRows(file string) (*rows, error) {
	r := &rows{}
	if err := r.begin(file); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *rows) begin(file string) error {
	in, err := r.open(file)
	if err != nil {
		return err
	}
	r.csv = csv.NewReader(in) // which refuses rows of another length than the header's
	r.csv.ReuseRecord = true
	header, err := r.csv.Read()
	if err != nil {
		return fmt.Errorf("read the header of %s: %w", file, err)
	}
	r.columns = slices.Clone(header)
	for _, needed := range []string{"carrier", "flight", "dep_time", "dep_delay", "minute", "time_hour"} {
		if !slices.Contains(r.columns, needed) {
			return fmt.Errorf("%s has no column %s", file, needed)
		}
	}
	return nil
}

func (r *rows) open(file string) (io.Reader, error) {
	if filepath.Ext(file) != ".zip" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		r.closers = append(r.closers, f)
		return f, nil
	}
	archive, err := zip.OpenReader(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	r.closers = append(r.closers, archive)
	for _, f := range archive.File {
		if path.Ext(f.Name) != ".csv" {
			continue
		}
		in, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		r.closers = append(r.closers, in)
		return in, nil
	}
	return nil, fmt.Errorf("%s holds no .csv file", file)
}

// next gives the next row, valid until the one after it; io.EOF after the last. The line is where it stands.
func (r *rows) next() (fields []string, line int, err error) {
	fields, err = r.csv.Read()
	if err != nil {
		return nil, 0, err
	}
	line, _ = r.csv.FieldPos(0)
	return fields, line, nil
}

func (r *rows) close() {
	for _, c := range slices.Backward(r.closers) {
		c.Close()
	}
}
