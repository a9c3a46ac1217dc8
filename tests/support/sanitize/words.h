/* Words of a line, and what they stand for. */
#ifndef WORDS_H
#define WORDS_H

#include "stand_in.h"

/* The next word, NULL at the line's end; %xx stands for one byte. */
char *word(char **rest);
char *needed_word(char **rest);
int64_t number(char **rest);

/* NAME TYPE DIMS HEX, with dims such as 2,3 or `scalar`; no HEX is no data. */
Value read_value(char **rest);

#endif
