/* wordcount: count the words of the standard input, the most frequent first. */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    char *word;
    unsigned long long count;
};

static struct entry *table;
static size_t capacity = 64;
static size_t used;

static unsigned hash(const char *word)
{
    unsigned h = 2166136261u; /* FNV-1a: sums put anagrams and whole alphabets into one slot */
    while (*word)
        h = (h ^ (unsigned char)*word++) * 16777619u;
    return h;
}

/* The slot of a word, or the free one where it would go. */
static struct entry *slot(struct entry *in, size_t size, const char *word)
{
    size_t i = hash(word) % size;
    while (in[i].word && strcmp(in[i].word, word) != 0)
        i = (i + 1) % size;
    return &in[i];
}

static void grow(void)
{
    size_t bigger = capacity * 2;
    struct entry *fresh = calloc(bigger, sizeof *fresh);

    for (size_t i = 0; i < capacity; i++)
        if (table[i].word)
            *slot(fresh, bigger, table[i].word) = table[i];
    free(table);
    table = fresh;
    capacity = bigger;
}

static void add(const char *word)
{
    struct entry *e = slot(table, capacity, word);

    if (!e->word) {
        e->word = strdup(word);
        e->count = 1;
        used++;
        if (used > capacity * 3 / 4)
            grow();
    }
    else {
        e->count++;
    }
}

static int by_count(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return strcmp(x->word, y->word);
}

int main(void)
{
    size_t length = 0, room = 64;
    char *word = malloc(room);
    int c;

    table = calloc(capacity, sizeof *table);
    while ((c = getchar()) != EOF) {
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
            if (length + 1 == room)
                word = realloc(word, room *= 2);
            word[length++] = tolower(c);
        }
        else if (length > 0) {
            word[length] = '\0';
            add(word);
            length = 0;
        }
    }
    if (length > 0) { /* the input may end within a word */
        word[length] = '\0';
        add(word);
    }

    size_t n = 0;
    for (size_t i = 0; i < capacity; i++)
        if (table[i].word)
            table[n++] = table[i];
    qsort(table, n, sizeof *table, by_count);
    for (size_t i = 0; i < n; i++)
        printf("%llu %s\n", table[i].count, table[i].word);
    return 0;
}
