/* safemig--1.0.sql, built from sql/install/ */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION safemig" to load this file. \quit

