// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/autobus-io/autobus"
)

// Storage is how full the embedded broker's folder is, in bytes. Without a folder only the budget is set.
type Storage struct {
	Bytes    int64 `json:"bytes"`
	Budget   int64 `json:"budget"`
	DiskFree int64 `json:"disk_free"`
	DiskSize int64 `json:"disk_size"`
}

// Full says why nothing more may be stored; nil = there is room.
func (s Storage) Full(dir string) *autobus.Error {
	switch {
	case s.Bytes > s.Budget:
		return autobus.NewError(autobus.ReasonStorageFull, "folder %s holds %d bytes, its budget is %d", dir, s.Bytes,
			s.Budget)
	case s.DiskSize > 0 && s.DiskFree < min(256<<20, s.DiskSize/20):
		return autobus.NewError(autobus.ReasonStorageFull, "the disk of %s has %d bytes left", dir, s.DiskFree)
	}
	return nil
}

// Full says why nothing more may be published: the budget is used up or the disk is nearly full. nil = there is room,
// and so many bytes more count as used until the folder is measured again. Unread records are never deleted to make
// room.
func (e *Embedded) Full(bytes int64) *autobus.Error {
	s := *e.storage.Load()
	if e.cfg.Dir != "" {
		s.Bytes += e.since.Add(bytes)
	}
	err := s.Full(e.cfg.Dir)
	if err == nil {
		return nil
	}
	if e.cfg.Dir != "" {
		e.since.Add(-bytes) // they are not let in
	}
	err.RetryAfter = 10 * time.Second
	return err
}

// Storage tells how full the folder is; measured every second.
func (e *Embedded) Storage() Storage { return *e.storage.Load() }

// MeasureFolder tells how full the folder of an embedded broker is, also of one that does not run.
func MeasureFolder(dir string, budget int64) (Storage, error) {
	s := Storage{Budget: budget}
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // retention deleted it meanwhile
		}
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil {
			s.Bytes += info.Size()
		}
		return nil
	})
	var disk syscall.Statfs_t
	if err == nil {
		err = syscall.Statfs(dir, &disk)
	}
	s.DiskFree = int64(disk.Bavail) * disk.Bsize
	s.DiskSize = int64(disk.Blocks) * disk.Bsize
	return s, err
}

func (e *Embedded) measure() {
	if e.cfg.Dir == "" {
		return
	}
	e.since.Store(0)
	s, err := MeasureFolder(e.cfg.Dir, e.cfg.Budget)
	if err != nil {
		e.cfg.Logger.Warn("measure data folder", "dir", e.cfg.Dir, "error", err)
		return
	}
	e.storage.Store(&s)
}

// lockName is the file that one process locks.
const lockName = "lock"

func (e *Embedded) takeLock() error {
	if err := os.MkdirAll(e.cfg.Dir, 0o750); err != nil {
		return autobus.NewError(autobus.ReasonConfigInvalid, "data folder: %v", err).WithCause(err)
	}
	f, err := os.OpenFile(filepath.Join(e.cfg.Dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return autobus.NewError(autobus.ReasonConfigInvalid, "data folder: %v", err).WithCause(err)
	}
	// The kernel drops the lock with the process, however it ends.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return autobus.NewError(autobus.ReasonDataLocked, "another process uses the folder %s", e.cfg.Dir).
			WithCause(err)
	}
	e.lock = f
	return nil
}

func (e *Embedded) unlock() {
	if e.lock != nil {
		_ = e.lock.Close()
	}
}

// LockedFolder tells whether a process has the folder of an embedded broker, and the file that it locked. A folder that
// is not there is nobody's.
func LockedFolder(dir string) (file string, locked bool, err error) {
	file = filepath.Join(dir, lockName)
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return file, false, nil
	} else if err != nil {
		return file, false, err
	}
	defer f.Close() // which also gives back what was locked to find out
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return file, true, nil
	}
	return file, false, err
}
