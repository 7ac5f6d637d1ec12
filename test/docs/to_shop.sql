\c shop
