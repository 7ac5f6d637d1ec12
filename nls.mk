# nls.mk: where the messages are.  "make update-po" merges new ones into
# po/ja.po.new; test/t/102_messages.pl wants all of them in po/ja.po.
CATALOG_NAME     = safemig
AVAIL_LANGUAGES  = ja
GETTEXT_FILES    = $(sort $(wildcard src/*.c src/*/*.c))
GETTEXT_TRIGGERS = $(BACKEND_COMMON_GETTEXT_TRIGGERS) said said_of:1,2 append_conflict:3,4
GETTEXT_FLAGS    = $(BACKEND_COMMON_GETTEXT_FLAGS) \
    said:1:c-format said_of:1:c-format said_of:2:c-format \
    append_conflict:3:c-format append_conflict:4:c-format
