#include "postgres.h"
#include "advise/advise.h"
