// SPDX-License-Identifier: GPL-2.0
/*
 * The payload of a request: data sections and scatter-gather buffers.
 *
 * Large sections are pinned, read only, for as long as the request lives, and
 * the host copies straight from them. Small ones are copied, and so are those
 * that cannot be pinned (a parcel forwarded from inside a received buffer lies
 * in a PFN mapping).
 */
#include <linux/cred.h>

#include "vbinder.h"

static struct vb_seg *vb_seg_new(struct vb_sender *s)
{
	struct vb_seg *seg;

	if (s->nr_segs == s->max_segs) {
		u32 max = 2 * s->max_segs;
		struct vb_seg *segs = kvmalloc_array(max, sizeof(*segs), GFP_KERNEL_ACCOUNT);

		if (!segs)
			return NULL;
		memcpy(segs, s->segs, s->nr_segs * sizeof(*segs));
		if (s->segs_heap)
			kvfree(s->segs);
		s->segs = segs;
		s->segs_heap = true;
		s->max_segs = max;
	}
	seg = &s->segs[s->nr_segs++];
	memset(seg, 0, sizeof(*seg));
	return seg;
}

static void vb_seg_free(struct vb_seg *seg)
{
	if (seg->pages) {
		unpin_user_pages(seg->pages, seg->nr_pages);
		kvfree(seg->pages);
	}
	if (seg->heap)
		kvfree(seg->mem);
}

/* Runs that n bytes starting at offset off of a page make at most. */
static u64 vb_max_runs(u32 off, u64 n)
{
	return DIV_ROUND_UP_ULL(off + n, PAGE_SIZE);
}

/* Pins [addr, addr + len) if all of it can be; 0, or anything else to copy instead. */
static int vb_pin(struct vb_sender *s, u64 addr, u64 len)
{
	u32 off = offset_in_page(addr);
	u32 want = vb_max_runs(off, len), have = 0;
	struct page **pages;
	struct vb_seg *seg;

	pages = kvmalloc_array(want, sizeof(*pages), GFP_KERNEL_ACCOUNT);
	if (!pages)
		return -ENOMEM;
	while (have < want) {
		int n = pin_user_pages_fast((addr & PAGE_MASK) + (u64)have * PAGE_SIZE,
					    want - have, 0, pages + have);

		if (n <= 0)
			break;
		have += n;
	}
	seg = have == want ? vb_seg_new(s) : NULL;
	if (!seg) {
		unpin_user_pages(pages, have);
		kvfree(pages);
		return -EFAULT;
	}
	seg->pages = pages;
	seg->nr_pages = have;
	seg->off = off;
	seg->len = len;
	s->runs += want;
	return 0;
}

/* Copies into the arena, joining the segment before it if that is there too. */
static int vb_copy_small(struct vb_sender *s, u64 addr, u64 len, u64 *got)
{
	u8 *to = s->arena + s->arena_len;
	struct vb_seg *seg = s->nr_segs ? &s->segs[s->nr_segs - 1] : NULL;

	if (!seg || !seg->mem || seg->mem + seg->len != to) {
		seg = vb_seg_new(s);
		if (!seg)
			return -ENOMEM;
		seg->mem = to;
		s->runs += 2;
	}
	*got = len - vb_sender_read(s, to, addr, len);
	s->arena_len += *got;
	seg->len += *got;
	return 0;
}

static int vb_copy_large(struct vb_sender *s, u64 addr, u64 len, u64 *got)
{
	struct vb_seg *seg;
	u8 *to = kvmalloc(len, GFP_KERNEL_ACCOUNT);

	if (!to)
		return -ENOMEM;
	seg = vb_seg_new(s);
	if (!seg) {
		kvfree(to);
		return -ENOMEM;
	}
	*got = len - vb_sender_read(s, to, addr, len);
	seg->mem = to;
	seg->heap = true;
	seg->len = *got;
	s->runs += vb_max_runs(offset_in_page(to), len);
	return 0;
}

int vb_sender_add(struct vb_sender *s, u64 addr, u64 len, u64 *got)
{
	int err;

	*got = 0;
	if (!len)
		return 0;
	if (len >= VB_PIN_MIN && !vb_pin(s, addr, len)) {
		*got = len;
		err = 0;
	} else if (len <= s->arena_cap - s->arena_len) {
		err = vb_copy_small(s, addr, len, got);
	} else {
		err = vb_copy_large(s, addr, len, got);
	}
	s->len += *got;
	return err;
}

u64 vb_sender_len(const struct vb_sender *s)
{
	return s->len;
}

u64 vb_sender_runs(const struct vb_sender *s)
{
	return s->runs;
}

void vb_sender_mark(const struct vb_sender *s, struct vb_payload_mark *m)
{
	m->segs = s->nr_segs;
	m->arena = s->arena_len;
	m->len = s->len;
	m->runs = s->runs;
	m->last_len = s->nr_segs ? s->segs[s->nr_segs - 1].len : 0;
}

void vb_sender_cut(struct vb_sender *s, const struct vb_payload_mark *m)
{
	while (s->nr_segs > m->segs)
		vb_seg_free(&s->segs[--s->nr_segs]);
	if (s->nr_segs)
		s->segs[s->nr_segs - 1].len = m->last_len;
	s->arena_len = m->arena;
	s->len = m->len;
	s->runs = m->runs;
}

void vb_sender_free(struct vb_sender *s)
{
	while (s->nr_segs)
		vb_seg_free(&s->segs[--s->nr_segs]);
	if (s->segs_heap)
		kvfree(s->segs);
	put_cred(s->to);
}

/* Adds the whole payload to r, in order. */
void vb_sender_describe(struct vb_sender *s, struct vb_runs *r)
{
	u32 i, k;

	for (i = 0; i < s->nr_segs; i++) {
		struct vb_seg *seg = &s->segs[i];
		u64 left = seg->len;
		u32 off = seg->off;

		if (seg->mem) {
			vb_runs_add_mem(r, seg->mem, seg->len);
			continue;
		}
		for (k = 0; k < seg->nr_pages; k++) {
			u32 n = min_t(u64, left, PAGE_SIZE - off);

			vb_runs_add_page(r, seg->pages[k], off, n);
			left -= n;
			off = 0;
		}
	}
}
